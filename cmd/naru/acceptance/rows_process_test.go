package acceptance

// Scripts wait for containers by events that the container makes, never by time: `until` loops below run inside the
// container and are bounded by the time of the case.

var streamRows = []row{
	{name: "stdout", script: `naru run --rm $IMG echo hello world`, stdout: "hello world\n"},
	{name: "stderr is apart", script: `naru run --rm $IMG sh -c 'echo out; echo err >&2'`, stdout: "out\n", stderr: `^err\n$`},
	{name: "stdin", script: `naru run --rm -i $IMG cat`, stdin: "one\ntwo", stdout: "one\ntwo"},
	{name: "no stdin without -i", script: `naru run --rm $IMG sh -c 'cat; echo end'`, stdin: "lost", stdout: "end\n"},
	{name: "20 MB in", script: `head -c 20000000 /dev/zero | naru run --rm -i $IMG wc -c`, stdout: "20000000\n"},
	{name: "20 MB out", script: `naru run --rm $IMG head -c 20000000 /dev/zero | wc -c`, stdout: "20000000\n"},
	{name: "binary is kept", script: `naru run --rm -i $IMG cat | od -An -tx1`, stdin: "\x00\xff\r\n\x01", stdout: " 00 ff 0d 0a 01\n"},
	{name: "terminal", script: `naru run --rm -t $IMG sh -c 'test -t 1 && echo tty && stty -a | grep -o "onlcr"'`, stdout: "tty\r\nonlcr\r\n"},
	{name: "terminal on request only", script: `naru run --rm $IMG sh -c 'test -t 1 || echo none'`, stdout: "none\n"},
	{name: "-d prints the ID", script: `naru run -d --name $N $IMG true | grep -cE '^[0-9a-f]{64}$'`, stdout: "1\n"},
}

var processRows = []row{
	{name: "exit code", script: `naru run --rm $IMG sh -c 'exit 7'`, code: 7},
	{name: "exit by signal", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru kill $N; naru wait $N`, stdout: "$N\n137\n"},
	{name: "environment", script: `V=pass naru run --rm -e A=1 -e V -e IMAGE_ENV=mine $IMG sh -c 'echo $A $V $IMAGE_ENV'`, stdout: "1 pass mine\n"},
	{name: "environment of the image", script: `naru run --rm $IMG sh -c 'echo $IMAGE_ENV $PATH $HOME'`, stdout: "from-image /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /root\n"},
	{name: "environment file", script: `printf '# comment\nA=one two\nB=\n' >env && naru run --rm --env-file env $IMG sh -c 'echo "$A|$B|"'`, stdout: "one two||\n"},
	{name: "working folder", script: `naru run --rm -w /usr/share $IMG pwd`, stdout: "/usr/share\n"},
	{name: "working folder is made", script: `naru run --rm -w /new/place $IMG pwd`, stdout: "/new/place\n"},
	{name: "user by name", script: `naru run --rm -u www-data $IMG id`, stdout: "uid=33(www-data) gid=33(www-data) groups=33(www-data)\n"},
	{name: "user by number", script: `naru run --rm -u 1234:5678 $IMG id`, stdout: "uid=1234 gid=5678 groups=5678\n"},
	{name: "groups", script: `naru run --rm -u 1234 --group-add tape --group-add 99 $IMG id -G`, stdout: "0 26 99\n"},
	{name: "hostname", script: `naru run --rm --hostname box $IMG sh -c 'hostname; cat /etc/hostname'`, stdout: "box\nbox\n"},
	{name: "entrypoint", script: `naru run --rm --entrypoint echo $IMG a b`, stdout: "a b\n"},
	{name: "pid 1", script: `naru run --rm $IMG sh -c 'echo $$'`, stdout: "1\n"},
	{name: "init", script: `naru run --rm --init $IMG sh -c 'cat /proc/1/comm; exit 5'`, stdout: "docker-init\n", code: 5},
	{name: "default capabilities", script: `naru run --rm $IMG grep CapEff /proc/self/status`, stdout: "CapEff:\t00000000a80425fb\n"},
	{name: "capability dropped", script: `naru run --rm --cap-drop CHOWN $IMG chown 1 /etc/motd`, stderr: `Operation not permitted`, code: 1},
	{name: "all dropped, one added", script: `naru run --rm --cap-drop ALL --cap-add kill $IMG grep CapEff /proc/self/status`, stdout: "CapEff:\t0000000000000020\n"},
	{name: "seccomp filter", script: `naru run --rm $IMG grep Seccomp: /proc/self/status`, stdout: "Seccomp:\t2\n"},
	{name: "seccomp unconfined", script: `naru run --rm --security-opt seccomp=unconfined $IMG grep Seccomp: /proc/self/status`, stdout: "Seccomp:\t0\n"},
	{name: "no new privileges", script: `naru run --rm --security-opt no-new-privileges $IMG grep NoNewPrivs /proc/self/status`, stdout: "NoNewPrivs:\t1\n"},
	{name: "masked and read-only paths", script: `naru run --rm $IMG sh -c 'wc -c </proc/interrupts; echo 1 >/proc/sys/kernel/panic'`, stdout: "0\n", stderr: `Read-only file system|cannot create`, code: 2},
	{name: "no vsock socket", script: `naru run --rm $IMG python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'`, stderr: `Operation not permitted|Address family not supported`, code: 1},
	{name: "exec", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru exec $N echo inside && naru exec -w /etc -e A=b -u www-data $N sh -c 'pwd; echo $A; id -u'; naru exec $N sh -c 'exit 9'`, stdout: "inside\n/etc\nb\n33\n", code: 9},
	{name: "exec with stdin", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru exec -i $N cat`, stdin: "to exec", stdout: "to exec"},
	{name: "exec terminal", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru exec -t $N sh -c 'test -t 0 && echo tty'`, stdout: "tty\r\n"},
	{name: "exec command not found", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru exec $N nosuch`, stderr: `executable file not found`, code: 127},
	{name: "exec in a stopped container", script: `naru run --name $N $IMG true && naru exec $N true`, stderr: `container .* is not running`, code: 1},
}

// A file tells the check what to say, so that each state lasts until the row goes on.
var healthRows = []row{
	{name: "health check", script: `naru run -d --name $N --health-cmd 'cat /ok' --health-interval 100ms --health-retries 1 $IMG sleep 1000 >/dev/null
naru events --since 1 --filter container=$N --filter event=health_status --format '{{.Action}}' >events & until naru ps --filter name=$N | grep -q '(unhealthy)'; do :; done
naru exec $N touch /ok; until naru ps --filter health=healthy | grep -q " $N\$"; do :; done; naru ps --filter name=$N --format '{{.Status}}' | grep -o '(.*'
until test $(wc -l <events) = 2; do :; done; kill %1; cat events; naru inspect -f '{{.State.Health.FailingStreak}} {{(index .State.Health.Log 0).ExitCode}}' $N`,
		stdout: "(healthy)\nhealth_status: unhealthy\nhealth_status: healthy\n0 1\n"},
	{name: "health check is starting", script: `naru run -d --name $N --health-cmd true --health-interval 1h $IMG sleep 1000 >/dev/null; naru ps --filter name=$N --format '{{.Status}} {{.HealthStatus}}' | grep -o '(.*'`, stdout: "(health: starting) starting\n"},
	{name: "health check times out", script: `naru run -d --name $N --health-cmd 'echo begun; exec sleep 1000' --health-interval 50ms --health-timeout 300ms --health-retries 1 $IMG sleep 1001 >/dev/null
until naru ps --filter health=unhealthy | grep -q " $N\$"; do :; done; naru inspect -f '{{with index .State.Health.Log 0}}{{.ExitCode}} {{.Output}}{{end}}' $N`, stdout: "-1 Health check exceeded timeout (300ms): begun\n\n"},
	{name: "no health check", script: `naru run -d --name $N --no-healthcheck $IMG sleep 1000 >/dev/null; naru inspect -f '{{json .State.Health}} {{json .Config.Healthcheck.Test}}' $N`, stdout: "null [\"NONE\"]\n"},
	{name: "health check with a wrong interval", script: `naru create --name $N --health-cmd true --health-interval 1us $IMG true`, stderr: `Interval in Healthcheck cannot be less than 1ms`, code: 1},
	{name: "health check flags conflict", script: `naru create --name $N --health-cmd true --no-healthcheck $IMG true`, stderr: `--no-healthcheck conflicts with --health-\* options`, code: 125},
}
