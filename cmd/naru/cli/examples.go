package cli

import (
	"strings"

	"github.com/spf13/cobra"
)

// examples are those of commands that have none of their own, by the command without "naru"; one of a group has that of the
// verb at the top.
var examples = map[string]string{
	"attach":                    "naru attach web\nnaru attach --detach-keys ctrl-x web",
	"context inspect":           "naru context inspect --format '{{.Socket}}' direct",
	"context ls":                "naru context ls",
	"context use":               "naru context use machine",
	"create":                    "naru create --name web -p 8080:80 nginx",
	"engine start":              "naru engine start",
	"engine status":             "naru engine status",
	"engine stop":               "naru engine stop",
	"events":                    "naru events --filter type=container --filter event=die\nnaru events --since 10m --until 0s --format json",
	"history":                   "naru history --no-trunc debian",
	"images":                    "naru images\nnaru images --filter reference='debian:*' --format '{{.ID}} {{.Size}}'",
	"import":                    "naru import rootfs.tar.gz my/base:1\ntar -c -C rootfs . | naru import -c 'CMD [\"sh\"]' - my/base:1",
	"inspect":                   "naru inspect web\nnaru inspect -f '{{.NetworkSettings.IPAddress}}' web\nnaru inspect --type volume data",
	"container inspect":         "naru container inspect --size web",
	"image inspect":             "naru image inspect -f '{{json .Config.Env}}' debian",
	"network inspect":           "naru network inspect bridge",
	"volume inspect":            "naru volume inspect -f '{{.Mountpoint}}' data",
	"kill":                      "naru kill web\nnaru kill -s HUP web",
	"load":                      "naru load -i images.tar",
	"machine logs":              "naru machine logs",
	"machine reset":             "naru machine reset",
	"machine autostart disable": "naru machine autostart disable",
	"machine autostart enable":  "naru machine autostart enable",
	"machine autostart status":  "naru machine autostart status",
	"machine set":               "naru machine set --cpus 4 --memory 4g --disk 200g --share ~/src",
	"machine shell":             "naru machine shell",
	"machine start":             "naru machine start --cpus 4 --memory 4g",
	"machine status":            "naru machine status",
	"machine stop":              "naru machine stop",
	"network ls":                "naru network ls --filter driver=bridge -q",
	"port":                      "naru port web\nnaru port web 80/tcp",
	"ps":                        "naru ps -a\nnaru ps --filter status=exited --format 'table {{.Names}}\\t{{.Status}}'\nnaru ps -q --no-trunc",
	"pull":                      "naru pull debian:12\nnaru pull --platform linux/arm64 ghcr.io/me/app",
	"rename":                    "naru rename web web-old",
	"restart":                   "naru restart -t 5 web",
	"rm":                        "naru rm web\nnaru rm -f -v web db",
	"rmi":                       "naru rmi debian:12",
	"image rm":                  "naru image rm debian:12",
	"run":                       "naru run --rm -it debian bash\nnaru run -d --name web -p 8080:80 -v data:/data nginx",
	"save":                      "naru save -o images.tar debian:12 nginx",
	"start":                     "naru start web\nnaru start -a -i shell",
	"stop":                      "naru stop -t 30 web db",
	"tag":                       "naru tag app registry.example/me/app:1",
	"volume create":             "naru volume create --label project=x data",
	"volume ls":                 "naru volume ls --filter dangling=true -q",
	"volume rm":                 "naru volume rm data",
	"wait":                      "naru wait web",
	"machine export":            "naru machine export -o machine.tar.zst",
	"machine import":            "naru machine import -i machine.tar.zst",
}

// alike are commands of groups whose verb at the top has another name.
var alike = map[string]string{"container ls": "ps", "image ls": "images", "system events": "events"}

// giveExamples fills in what commands do not bring themselves.
func giveExamples(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		giveExamples(c)
	}
	path := strings.TrimPrefix(cmd.CommandPath(), "naru ")
	if other := alike[path]; other != "" {
		path = other
	}
	text := examples[path]
	if text == "" && cmd.HasParent() && cmd.Parent().HasParent() {
		text = examples[cmd.Name()]
	}
	if cmd.Example == "" && text != "" {
		cmd.Example = "  " + strings.ReplaceAll(text, "\n", "\n  ")
	}
}
