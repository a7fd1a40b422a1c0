package acceptance

// What a container looks like from outside: its processes and what they use.
var lookRows = []row{
	{name: "top", script: `naru run -d --name $N $IMG sh -c 'sleep 1000; true' >/dev/null && until naru top $N | grep -q 'sleep 1000$'; do :; done; naru top $N -eo user,pid,tty,comm | sed 's/ [0-9]\+/ 1/' | tr -s ' '`,
		stdout: "USER PID TT COMMAND\nroot 1 ? sh\nroot 1 ? sleep\n"},
	{name: "top's titles", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru top $N | head -1 | tr -s ' ' && naru top $N aux | head -1 | tr -s ' '`,
		stdout: "UID PID PPID C STIME TTY TIME CMD\nUSER PID %CPU %MEM VSZ RSS TTY STAT START TIME COMMAND\n"},
	{name: "top names the container's users", script: `naru run -d --name $N -u www-data $IMG sleep 1000 >/dev/null && naru top $N -o pid,user | tail -1 | tr -s ' ' | cut -d' ' -f2`, stdout: "www-data\n"},
	{name: "top without a PID column", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru top $N -o comm`, stderr: `Couldn't find PID field in ps output`, code: 1},
	{name: "top with an unknown column", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru top $N -o pid,nope`, stderr: `ps: error: unknown user-defined format specifier "nope"`, code: 1},
	{name: "top of what does not run", script: `naru run --name $N $IMG true; naru top $N`, stderr: `container [0-9a-f]+ is not running`, code: 1},
	{name: "stats", script: `naru run -d --name $N -m 64m $IMG sleep 1000 >/dev/null && naru stats --no-stream $N | head -1 | tr -s ' ' | sed 's/ *$//'`,
		stdout: "CONTAINER ID NAME CPU % MEM USAGE / LIMIT MEM % NET I/O BLOCK I/O PIDS\n"},
	{name: "stats in JSON", script: `naru run -d --name $N -m 64m $IMG sleep 1000 >/dev/null && naru stats --no-stream --format json $N | grep -o '"Container":"[^"]*"\|"Name":"[^"]*"\|/ 64MiB"\|"PIDs":"1"'`, stdout: "\"Container\":\"$N\"\n/ 64MiB\"\n\"Name\":\"$N\"\n\"PIDs\":\"1\"\n"},
	{name: "stats of what does not run", script: `naru create --name $N $IMG true >/dev/null && naru stats --no-stream --format '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}}' $N`, stdout: "$N 0.00% 0B / 0B 0\n"},
	{name: "stats of nothing", script: `naru stats --no-stream nosuch`, stderr: `No such container: nosuch`, code: 1},
	{name: "stats follow", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru stats --format '{{.Name}} {{.PIDs}}' $N >out & p=$!; until grep -qs "^$N 1$" out; do :; done; kill $p; wait $p; echo $?`, stdout: "143\n"},
	{name: "exec detached", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru exec -d $N touch /made && until naru exec $N test -e /made; do :; done; echo made`, stdout: "made\n"},
	{name: "exec with an environment file", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && printf 'A=1\nB=2\n' >env && naru exec --env-file env -e B=3 $N sh -c 'echo $A $B'`, stdout: "1 3\n"},
	{name: "exec privileged", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru exec $N grep CapEff /proc/self/status; test $(naru exec --privileged $N grep CapEff /proc/self/status | cut -f2) != 00000000a80425fb && echo more; naru exec --privileged $N grep Seccomp: /proc/self/status`,
		stdout: "CapEff:\t00000000a80425fb\nmore\nSeccomp:\t2\n"},
	{name: "exec as an unknown user", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru exec -u nosuch $N true`, stderr: `unable to find user nosuch: no matching entries in passwd file`, code: 1},
	{name: "exec in a paused container", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && naru pause $N >/dev/null && naru exec $N true; e=$?; naru unpause $N >/dev/null; exit $e`, stderr: `Container .* is paused, unpause the container before exec`, code: 1},
	{name: "exec outlived by nobody", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null && (naru exec $N sh -c 'touch /up; sleep 1000'; echo $?) & until naru exec $N test -e /up 2>/dev/null; do :; done; naru kill $N >/dev/null; wait`, stdout: "137\n"},
}
