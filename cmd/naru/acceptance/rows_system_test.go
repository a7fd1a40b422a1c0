package acceptance

// askSelf asks the engine about the container that it runs in, through the socket that was bound.
const askSelf = `import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"GET /containers/%s/json HTTP/1.0\r\n\r\n" % sys.argv[2].encode())
d = b""
while c := s.recv(65536): d += c
print(b"\x22Running\x22:true" in d, b"\x22Name\x22:\x22/%s\x22" % sys.argv[2].encode() in d)`

// systemRows are about the engine as a whole.
var systemRows = []row{
	{
		name: "proxies of Docker's config.json",
		script: `mkdir dc; echo '{"proxies":{"default":{"httpProxy":"http://p.test:3128","noProxy":"a,b"},"other":{"ftpProxy":"x"}}}' >dc/config.json
			export DOCKER_CONFIG=$PWD/dc; naru run --rm -e no_proxy=mine $IMG env | grep -i proxy | sort
			naru create --name $N $IMG true >/dev/null; naru inspect -f '{{range .Config.Env}}{{println .}}{{end}}' $N | grep -i proxy | sort`,
		stdout: "HTTP_PROXY=http://p.test:3128\nNO_PROXY=a,b\nhttp_proxy=http://p.test:3128\nno_proxy=mine\n" +
			"HTTP_PROXY=http://p.test:3128\nNO_PROXY=a,b\nhttp_proxy=http://p.test:3128\nno_proxy=a,b\n",
	},
	{name: "the engine's socket is a mount source", script: `P='` + askSelf + `'
naru run --rm --name $N -v /var/run/docker.sock:/var/run/docker.sock $IMG python3 -c "$P" /var/run/docker.sock $N
naru run --rm --name $N --mount type=bind,source=/run/docker.sock,target=/tmp/s,readonly $IMG python3 -c "$P" /tmp/s $N
S=$(naru context inspect -f '{{.Socket}}' $NARU_CONTEXT); naru run --rm --name $N -v ${S#unix://}:/s $IMG python3 -c "$P" /s $N
naru run -d --name $N -v /var/run/docker.sock:/s $IMG sleep 1000 >/dev/null; naru inspect -f '{{(index .Mounts 0).Source}}' $N
naru create --name ${N}b -v ${S#unix://}:/run/docker.sock $IMG true >/dev/null; tar -c /etc/hostname 2>/dev/null | naru cp - ${N}b:/mnt && echo copied`,
		stdout: "True True\nTrue True\nTrue True\n/var/run/docker.sock\ncopied\n"},
	{name: "doctor", script: `naru doctor | grep -A1 PROBLEM; naru doctor --format json | grep -o '"context":"'$NARU_CONTEXT'"' | wc -l`, stdout: "1\n"},
	{name: "info and version", script: `naru info -f '{{.OSType}} {{.DefaultRuntime}} {{.LiveRestoreEnabled}} {{.Swarm.LocalNodeState}} {{.FirewallBackend.Driver}}'; naru system info | grep -cE '^ (Runs|ID|Docker Root Dir): .'
naru version -f '{{.Server.Os}} {{range .Server.Components}}{{.Name}} {{end}}'; naru version | grep -c ' Version: '`,
		stdout: "linux crun true inactive nftables\n3\nlinux Engine crun naru-init \n4\n"},
	{name: "system df", script: `naru run --name $N -v $N:/v $IMG sh -c 'head -c 3000000 /dev/zero >/v/f; head -c 2000000 /dev/zero >/f'
naru system df -v --format '{{range .Volumes}}{{if eq .Name "'$N'"}}{{.Links}} {{.Size}}{{end}}{{end}} {{range .Containers}}{{if eq .Names "'$N'"}}{{.Size}}{{end}}{{end}}' | sed 's/3.0[0-9]*MB/3.0MB/'; echo
naru df | awk '{print $1}'; naru rm $N; naru volume rm $N`, stdout: "1 3.0MB 2MB\nTYPE\nImages\nContainers\nLocal\nBuild\n$N\n$N\n"},
	{name: "system prune", script: `naru create --name $N --label p=$N $IMG true >/dev/null; naru network create --label p=$N $N >/dev/null; naru volume create --label p=$N $N >/dev/null
echo n | naru system prune --filter label=p=$N; echo " $?"; naru system prune -f --volumes --filter label=p=$N | sed -E 's/^[0-9a-f]{64}$/ID/; s/(space: ).*/\1N/; /^Deleted build cache/,/^$/d'; naru volume rm $N`,
		stdout: "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n  - all dangling images\n  - unused build cache\n\n  Items to be pruned will be filtered with:\n  - label=p=$N\n\n" +
			"Are you sure you want to continue? [y/N]  1\nDeleted Containers:\nID\n\nDeleted Networks:\n$N\n\nTotal reclaimed space: N\n$N\n", stderr: `system prune has been cancelled`},
	{name: "events: filters, formats, times", script: `naru run --name $N --label l=$N $IMG true; naru events --since 5m --until 0s -f label=l=$N -f event=start -f event=die --format '{{.Type}} {{.Action}} {{.Actor.Attributes.name}}'
naru events --since 5m --until 0s -f container=$N -f event=die --format json | grep -c '"exitCode":"0"'; naru events --since 0 --until 0; naru system events --until 1 -f type=image
naru events --since 5m -f container=${N}b -f event=destroy --format '{{.Action}}' >events & P=$!; naru run --rm --name ${N}b $IMG true; until grep destroy events; do sleep 0.1; done; kill -TERM $P; wait $P; echo $?; rm events`,
		stdout: "container start $N\ncontainer die $N\n1\ndestroy\n143\n"},
	{name: "login, logout", script: `echo secret | naru login -u me --password-stdin $REG; grep -c $REG ~/.docker/config.json; naru logout $REG; grep -c $REG ~/.docker/config.json; naru login -u me -p x 127.0.0.1:1`,
		stdout: "Login Succeeded\n1\nRemoving login credentials for $REG\n0\n", stderr: `(?s)stored unencrypted.*naru: error: Get "https?://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused`, code: 1},
}
