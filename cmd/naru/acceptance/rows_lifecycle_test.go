package acceptance

var lifecycleRows = []row{
	{name: "create, start, wait, logs", script: `naru create --name $N $IMG sh -c 'echo ran; exit 4' >/dev/null && naru start $N && naru wait $N && naru logs $N`, stdout: "$N\n4\nran\n"},
	{name: "start attached", script: `naru create --name $N $IMG sh -c 'echo ran; exit 4' >/dev/null && naru start -a $N`, stdout: "ran\n", code: 4},
	{name: "logs keep the streams apart", script: `naru run --name $N $IMG sh -c 'echo o; echo e >&2' >/dev/null 2>&1; naru logs $N 2>/dev/null; naru logs $N 2>&1 >/dev/null`, stdout: "o\ne\n"},
	{name: "logs of the end", script: `naru run --name $N $IMG seq 1000 >/dev/null; naru logs --tail 2 $N`, stdout: "999\n1000\n"},
	{name: "logs with times", script: `naru run --name $N $IMG echo x >/dev/null; naru logs -t $N | grep -cE '^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z x$'`, stdout: "1\n"},
	{name: "logs since", script: `naru run --name $N $IMG echo x >/dev/null; naru logs --since 1h $N; naru logs --until 1h $N`, stdout: "x\n"},
	{name: "logs follow to the end", script: `naru run -d --name $N $IMG sh -c 'i=0; while [ $i -lt 20 ]; do echo $i; i=$((i+1)); sleep 0.05; done' >/dev/null; naru logs -f $N | tail -1`, stdout: "19\n"},
	{name: "attach", script: `naru run -d -i --name $N $IMG sh -c 'read l; echo got $l' >/dev/null; naru attach $N`, stdin: "line\n", stdout: "got line\n"},
	{name: "stop is graceful", script: `naru run -d --name $N $IMG bash -c 'trap "exit 3" TERM; touch /ready; while :; do sleep 0.1; done' >/dev/null; ` + untilReady + ` naru stop $N; naru wait $N`, stdout: "$N\n3\n"},
	{name: "stop in the end kills", script: `naru run -d --name $N $IMG bash -c 'trap "" TERM; touch /ready; while :; do sleep 0.1; done' >/dev/null; ` + untilReady + ` naru stop -t 1 $N; naru wait $N`, stdout: "$N\n137\n"},
	{name: "stop signal", script: `naru run -d --stop-signal USR1 --name $N $IMG bash -c 'trap "exit 8" USR1; touch /ready; while :; do sleep 0.1; done' >/dev/null; ` + untilReady + ` naru stop $N; naru wait $N`, stdout: "$N\n8\n"},
	{name: "kill with a signal", script: `naru run -d --name $N $IMG bash -c 'trap "exit 6" HUP; touch /ready; while :; do sleep 0.1; done' >/dev/null; ` + untilReady + ` naru kill -s HUP $N; naru wait $N`, stdout: "$N\n6\n"},
	{name: "signals are passed on", script: `naru run --cidfile $N.cid --name $N $IMG bash -c 'trap "exit 5" TERM; touch /ready; while :; do sleep 0.1; done' & P=$!; until test -s $N.cid && naru exec $N test -e /ready; do sleep 0.1; done 2>/dev/null; kill -TERM $P; wait $P; echo $?; rm $N.cid`, stdout: "5\n"},
	{name: "restart", script: `naru run -d --name $N $IMG sh -c 'echo start; exec sleep 1000' >/dev/null; timeout 60 bash -c 'until [ $(naru logs '$N' | wc -l) = 1 ]; do sleep 0.05; done'; naru restart -t 0 $N; naru inspect -f '{{.State.Running}}' $N; timeout 60 bash -c 'until [ $(naru logs '$N' | wc -l) = 2 ]; do sleep 0.05; done'; naru stop -t 0 $N >/dev/null; naru logs $N`, stdout: "$N\ntrue\nstart\nstart\n"},
	{name: "restart on failure", script: `naru run -d --restart on-failure:2 --name $N $IMG sh -c 'echo x; exit 1' >/dev/null; timeout 60 bash -c 'until [ "$(naru inspect -f "{{.RestartCount}} {{.State.Status}}" '$N')" = "2 exited" ]; do sleep 0.1; done'; naru logs $N`, stdout: "x\nx\nx\n"},
	{name: "remove while it runs", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru rm $N; echo $?; naru rm -f $N`, stdout: "1\n$N\n", stderr: `naru: error: .*container is running`},
	{name: "remove a link", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru run -d --name ${N}b --link $N:al $IMG sleep 1000 >/dev/null 2>&1; naru exec ${N}b grep -cw al /etc/hosts; naru rm --link ${N}b/al; naru inspect -f '{{len .HostConfig.Links}} {{.State.Status}}' ${N}b; naru exec ${N}b grep -cw al /etc/hosts; naru rm -l ${N}b/al; naru rm -l $N`, stdout: "1\n${N}b/al\n0 running\n0\n", stderr: `^naru: error: No such container: ${N}b/al\n(naru: hint: .*\n)?naru: error: Conflict, cannot remove the default link name of the container\n$`, code: 1},
	{name: "--rm leaves nothing", script: `naru run --rm --name $N $IMG true; naru ps -a -q -f name=$N | wc -l`, stdout: "0\n"},
	{name: "pause and unpause", script: `naru run -d --name $N $IMG sh -c 'while :; do date >/t; sleep 0.01; done' >/dev/null; naru pause $N; naru ps -f name=$N -f status=paused --format '{{.State}} {{.Status}}' | sed 's/Up .* (/Up (/'; naru inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}}' $N; naru unpause $N; naru exec $N echo goes on; naru inspect -f '{{.State.Status}} {{.State.Paused}}' $N`, stdout: "$N\npaused Up (Paused)\npaused true true\n$N\ngoes on\nrunning false\n"},
	{name: "paused: what is refused", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru pause $N >/dev/null; naru pause $N; naru start $N; naru exec $N true; naru attach $N; naru rm $N; naru unpause $N; naru unpause $N`, stdout: "$N\n", code: 1,
		stderr: `^naru: error: container \w{64} is already paused\nnaru: error: cannot start a paused container, try unpause instead\nnaru: error: Container $N is paused, unpause the container before exec\nnaru: error: .*paused.*\n(naru: hint: .*\n)?naru: error: cannot remove container "$N": container is paused and must be unpaused first\n(naru: hint: .*\n)?naru: error: Container \w{64} is not paused\n$`},
	{name: "paused: stop lets it end", script: `naru run -d --name $N $IMG bash -c 'trap "exit 3" TERM; touch /ready; while :; do sleep 0.1; done' >/dev/null; ` + untilReady + ` naru pause $N; naru stop $N; naru inspect -f '{{.State.Status}} {{.State.ExitCode}}' $N`, stdout: "$N\n$N\nexited 3\n"},
	{name: "paused: kill, restart, rm -f", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru pause $N; naru kill $N; naru inspect -f '{{.State.ExitCode}}' $N; naru start $N; naru pause $N; naru restart -t 0 $N; naru inspect -f '{{.State.Status}}' $N; naru pause $N; naru rm -f $N`, stdout: "$N\n$N\n137\n$N\n$N\n$N\nrunning\n$N\n$N\n"},
	{name: "update the limits of a running container", script: `naru run -d --name $N -m 100m --cpus 1 $IMG sleep 1000 >/dev/null; naru update -m 64m --memory-swap 64m --pids-limit 77 --cpus 0.5 --cpu-shares 512 $N; naru inspect -f '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpuShares}}' $N; ` + showLimits + `; naru restart -t 0 $N; ` + showLimits, stdout: "$N\n67108864 500000000 77 512\n67108864 77\n$N\n67108864 77\n"},
	{name: "update a stopped container", script: `naru create --name $N -m 100m $IMG sleep 1000 >/dev/null; naru update -m 64m $N; naru start $N >/dev/null; ` + showLimits, stdout: "$N\n67108864 max\n"},
	{name: "update: refused, and nothing is changed", script: `naru create --rm --name $N -m 64m $IMG true >/dev/null; naru update --restart always $N; naru update -m 1g $N; naru update -m 1k $N; naru update $N; naru update --restart sometimes $N; naru inspect -f '{{.HostConfig.Memory}} {{.HostConfig.RestartPolicy.Name}}' $N; naru update -m 64m nosuch`, stdout: "67108864 no\n", code: 1,
		stderr: `^naru: error: Cannot update container \w{64}: Restart policy cannot be updated because AutoRemove is enabled for the container\nnaru: error: Cannot update container \w{64}: Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time\nnaru: error: Minimum memory limit allowed is 6MB\nnaru: error: you must provide one or more flags when using this command\nnaru: hint: .*\nnaru: error: .*sometimes.*\nnaru: error: No such container: nosuch\n`},
	{name: "update the restart policy", script: `naru run -d --name $N $IMG sh -c 'test -e /again && exec sleep 1000; touch /again; exec sleep 1000' >/dev/null; naru update --restart on-failure:3 $N; naru exec $N sh -c 'kill -9 -1' 2>/dev/null; naru inspect -f '{{.HostConfig.RestartPolicy.Name}}:{{.HostConfig.RestartPolicy.MaximumRetryCount}}' $N`, stdout: "$N\non-failure:3\n", stderr: ".*"},
	{name: "a user's stop ends the back-off", script: `naru run -d --restart always --name $N $IMG false >/dev/null; timeout 60 bash -c 'until [ "$(naru inspect -f "{{.State.Restarting}} {{.State.Running}}" '$N')" = "true true" ]; do :; done'; naru start $N; naru stop $N; naru inspect -f '{{.State.Status}}' $N; naru restart $N; naru rm -f $N`, stdout: "$N\n$N\nexited\n$N\n$N\n"},
	{name: "kill by number and real-time signals", script: `naru run -d --name $N $IMG bash -c 'trap "echo usr" 10; trap "echo rt" 37; trap "exit 4" 12; echo ready; while :; do sleep 0.05; done' >/dev/null; ` + untilSaid("ready") + ` naru kill -s 10 $N; ` + untilSaid("usr") + ` naru kill --signal SIGRTMIN+3 $N; ` + untilSaid("rt") + ` naru kill -s usr2 $N; naru wait $N; naru kill $N; naru kill -s NOPE $N; naru kill -s 65 $N; naru kill nosuch`, stdout: "$N\n$N\n$N\n4\n", code: 1,
		stderr: `^naru: error: cannot kill container: $N: container \w{64} is not running\nnaru: error: cannot kill container: $N: invalid signal: NOPE\nnaru: error: cannot kill container: $N: the linux daemon does not support signal 65\nnaru: error: cannot kill container: nosuch: No such container: nosuch\n`},
	{name: "stop with a signal and a timeout", script: `naru run -d --name $N $IMG bash -c 'trap "exit 7" USR1; touch /ready; while :; do sleep 0.1; done' >/dev/null; ` + untilReady + ` naru stop --signal USR1 --timeout -1 $N; naru wait $N; naru stop $N; naru run -d --name ${N}b --stop-timeout 0 $IMG sleep 1000 >/dev/null; naru stop ${N}b; naru wait ${N}b`, stdout: "$N\n7\n$N\n${N}b\n137\n"},
	{name: "several at once", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru run -d --name ${N}b $IMG sleep 1000 >/dev/null; naru stop -t 1 $N nosuch ${N}b; echo $?; naru rm $N nosuch ${N}b; echo $?; naru rm -f $N`, stdout: "$N\n${N}b\n1\n$N\n${N}b\n1\n", stderr: "naru: error: No such container: nosuch"},
	{name: "rename: what is refused", script: `naru create --name $N $IMG true >/dev/null; naru create --name ${N}b $IMG true >/dev/null; naru rename $N $N; naru rename $N ${N}b; naru rename $N 'a b'; naru rename $N x; naru rename nosuch y1; naru inspect -f '{{.Name}}' $N`, stdout: "/$N\n",
		stderr: `^naru: error: Renaming a container with the same name as its current name\nnaru: error: Error when allocating new name: Conflict. The container name "/${N}b" is already in use by container "\w{64}".*\n(naru: hint: .*\n)?naru: error: Error when allocating new name: Invalid container name \(/a b\), only .* are allowed\nnaru: error: Error when allocating new name: Invalid container name \(/x\).*\nnaru: error: No such container: nosuch\n`},
	{name: "prune by label and age", script: `naru run --name $N --label p=$N $IMG sh -c 'head -c 1000000 /dev/zero >/x'; naru create --name ${N}b --label p=$N --label keep $IMG true >/dev/null; naru container prune -f --filter label=p=$N --filter until=1h; naru container prune -f --filter label=p=$N --filter label!=keep | sed -E 's/^[0-9a-f]{64}$/ID/'; naru ps -aq -f label=p=$N | wc -l; naru container prune -f --filter label=p=$N | tail -1`, stdout: "Total reclaimed space: 0B\nDeleted Containers:\nID\n\nTotal reclaimed space: 1MB\n1\nTotal reclaimed space: 0B\n"},
	{name: "container verbs", script: `naru container run -d --name $N $IMG sleep 1000 >/dev/null; naru container pause $N; naru container unpause $N; naru container update -c 100 $N; naru container rename $N ${N}b; naru container stop -t 0 ${N}b; naru container wait ${N}b; naru container rm ${N}b`, stdout: "$N\n$N\n$N\n${N}b\n137\n${N}b\n"},
	{name: "--init reaps, and passes signals on", script: `naru run -d --init --name $N $IMG bash -c 'trap "exit 3" TERM; (sleep 0.01 &); touch /ready; while :; do sleep 0.1; done' >/dev/null; ` + untilReady + ` naru exec $N cat /proc/1/comm; naru stop $N >/dev/null; naru wait $N`, stdout: "docker-init\n3\n"},
	{name: "killed for memory", script: `naru run --name $N -m 32m --memory-swap 32m $IMG bash -c 'x=$(head -c 200M /dev/zero | tr "\0" x)'; naru inspect -f '{{.State.OOMKilled}}' $N; naru events --since 10m --until 0s -f container=$N -f event=oom --format '{{.Action}}' | sort -u`, stdout: "true\noom\n"},
	{name: "a child killed for memory", script: `naru run -d --name $N -m 32m --memory-swap 32m $IMG bash -c 'bash -c "x=\$(head -c 200M /dev/zero | tr \"\\0\" x)"; touch /ready; exec sleep 1000' >/dev/null; ` + untilReady + ` timeout 60 bash -c 'until [ $(naru inspect -f "{{.State.OOMKilled}}" '$N') = true ]; do sleep 0.05; done'; naru inspect -f '{{.State.Status}} {{.State.OOMKilled}}' $N; naru restart -t 0 $N >/dev/null; naru inspect -f '{{.State.Status}}' $N`, stdout: "running true\nrunning\n"},
	{name: "wait tells of a failed start", script: `naru run --name $N $IMG nosuch 2>/dev/null; naru wait $N; naru inspect -f '{{.State.Status}} {{.State.ExitCode}}' $N`, stdout: "created 127\n", stderr: "executable file not found", code: 0},
	{name: "rename", script: `naru create --name $N $IMG true >/dev/null; naru rename $N ${N}b; naru inspect -f '{{.Name}}' ${N}b`, stdout: "/${N}b\n"},
	{name: "state in inspect", script: `naru run --name $N $IMG sh -c 'exit 3'; naru inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.OOMKilled}}' $N`, stdout: "exited 3 false false\n"},
	{name: "events", script: `naru run --rm --name $N $IMG true; naru events --since 10m --until 0s -f container=$N --format '{{.Action}}' | tr '\n' ' '`, stdout: "create attach start die destroy "},
	{name: "wait for several", script: `naru run -d --name $N $IMG sh -c 'exit 1' >/dev/null; naru run -d --name ${N}b $IMG sh -c 'exit 2' >/dev/null; naru wait $N ${N}b`, stdout: "1\n2\n"},
}

// showLimits prints the memory limit in bytes and the limit of processes as the kernel has them.
const showLimits = `naru exec $N sh -c 'cd /sys/fs/cgroup; cat memory.max memory/memory.limit_in_bytes pids.max pids/pids.max 2>/dev/null' | tr '\n' ' ' | sed 's/ $/\n/'`

// untilSaid waits for a line in the container's log.
func untilSaid(line string) string {
	return `timeout 60 bash -c 'until naru logs '$N' | grep -qx ` + line + `; do sleep 0.05; done';`
}

// untilReady waits for the file /ready in the container.
const untilReady = `naru exec $N bash -c 'until test -e /ready; do sleep 0.05; done';`

var listRows = []row{
	{name: "ps filters", script: `naru run -d --name $N --label k=v $IMG sleep 1000 >/dev/null; naru create --name ${N}b --label k=v $IMG true >/dev/null; naru ps -f label=k=v --format '{{.Names}} {{.State}}'; naru ps -a -f label=k --format '{{.Names}}' | sort; naru ps -a -f status=created -f name=$N --format '{{.Names}} {{.Status}}'`, stdout: "$N running\n$N\n${N}b\n${N}b Created\n"},
	{name: "ps table", script: `naru ps -f name=nothing`, stdout: "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES\n"},
	{name: "ps by prefix of the ID", script: `ID=$(naru create --name $N $IMG true); naru inspect -f '{{.Name}}' ${ID:0:12}`, stdout: "/$N\n"},
	{name: "ps exited", script: `naru run --name $N $IMG sh -c 'exit 3'; naru ps -a -f name=$N -f exited=3 --format '{{.Names}}'`, stdout: "$N\n"},
	{name: "version", script: `naru version --format '{{.Server.Os}} {{.Server.APIVersion}}'`, stdout: "linux 1.56\n"},
}

var imageRows = []row{
	{name: "tag and remove", script: `naru tag $IMG mine/$N:v1 && naru images --format '{{.Repository}}:{{.Tag}}' mine/$N && naru rmi mine/$N:v1`, stdout: "mine/$N:v1\nUntagged: mine/$N:v1\n"},
	{name: "import and run", script: `naru run --rm $IMG bash -c 'cd / && exec tar -c bin lib lib64 usr/bin/bash usr/lib64 usr/lib/x86_64-linux-gnu/{libc.,libtinfo,ld-linux}*' | naru import -c 'CMD ["bash", "-c", "echo imported"]' - im/$N >/dev/null && naru run --rm im/$N; naru rmi -f im/$N >/dev/null`, stdout: "imported\n"},
	{name: "image inspect", script: `naru image inspect -f '{{.Os}} {{.Architecture}} {{index .Config.Labels "program"}} {{len .RootFS.Layers}}' $IMG`, stdout: "linux amd64 redis-server 2\n"},
	{name: "image in use", script: `naru tag $IMG use/$N; naru create --name $N use/$N true >/dev/null; naru rmi use/$N >/dev/null && naru ps -a -f name=$N -q | wc -l; naru rmi $(naru inspect -f '{{.Image}}' $N)`, stdout: "1\n", stderr: `conflict`, code: 1},
	{name: "pull again", script: `naru pull $IMG | tail -2`, stdout: "Status: Image is up to date for $IMG:latest\n$IMG:latest\n"},
	{name: "build", script: `mkdir -p ctx && echo text >ctx/f && printf 'FROM %s\nCOPY f /f\nRUN cat /f && echo made >/g\nCMD cat /f /g\n' $IMG >ctx/Dockerfile && naru build -q -t built-$N ctx >id && naru run --rm built-$N && naru run --rm $(cat id) && naru rmi built-$N >/dev/null`, stdout: "text\nmade\ntext\nmade\n"},
	{name: "build of a broken file", script: `printf 'FROM %s\nNOPE\n' $IMG | naru build - >log 2>&1; echo $?; grep -o 'unknown instruction: NOPE' log`, stdout: "1\nunknown instruction: NOPE\n"},
	{name: "push and pull back", script: `naru tag $IMG $REG/pushed/$N:v1 && naru push -q $REG/pushed/$N:v1 && naru rmi $REG/pushed/$N:v1 >/dev/null && naru pull -q $REG/pushed/$N:v1 && [ $(naru inspect -f '{{.Id}}' $IMG) = $(naru inspect -f '{{.Id}}' $REG/pushed/$N:v1) ] && naru push -a $REG/pushed/$N | tail -1 | cut -d: -f1; naru rmi $REG/pushed/$N:v1 >/dev/null`, stdout: "$REG/pushed/$N:v1\n$REG/pushed/$N:v1\nv1\n"},
	{name: "push of nothing", script: `naru push $REG/nosuch; naru push -a $REG/nosuch:1; naru push $REG/x@sha256:0000000000000000000000000000000000000000000000000000000000000000`, stdout: "Using default tag: latest\nThe push refers to repository [$REG/nosuch]\n", stderr: `naru: error: tag does not exist: $REG/nosuch:latest\nnaru: error: tag can't be used with --all-tags/-a\nnaru: error: cannot push a digest reference`, code: 1},
	{name: "hello", script: `naru run --rm hello >out && grep -c . out >/dev/null && echo told`, stdout: "told\n"},
}

var errorRows = []row{
	{name: "command not found", script: `naru run --name $N $IMG nosuch`, stderr: `naru: error: .*exec: "nosuch": executable file not found in \$PATH`, code: 127},
	{name: "command not executable", script: `naru run --rm $IMG /etc/motd`, stderr: `naru: error: .*permission denied`, code: 126},
	{name: "unknown image", script: `naru run --rm $REG/nosuch true`, stderr: `Unable to find image '$REG/nosuch:latest' locally\n(.|\n)*naru: error: `, code: 125},
	{name: "registry down", script: `naru run --rm 127.0.0.1:1/x true`, stderr: `naru: error: .*127.0.0.1:1`, code: 125},
	{name: "name in use", script: `naru create --name $N $IMG true >/dev/null; naru run --name $N $IMG true`, stderr: `naru: error: Conflict. The container name "/$N" is already in use by container`, code: 125},
	{name: "bad name", script: `naru run --name 'a b' $IMG true`, stderr: `naru: error: Invalid container name \(a b\)`, code: 125},
	{name: "bad flag", script: `naru run --nosuch $IMG true`, stderr: `naru: error: unknown flag: --nosuch\nnaru: hint: `, code: 125},
	{name: "bad memory", script: `naru run -m 1k $IMG true`, stderr: `naru: error: Minimum memory limit allowed is 6MB`, code: 125},
	{name: "bad capability", script: `naru run --cap-add nosuch $IMG true`, stderr: `naru: error: invalid CapAdd: unknown capability: "CAP_NOSUCH"`, code: 125},
	{name: "bad user", script: `naru run --rm -u nosuch $IMG true`, stderr: `naru: error: .*unable to find user nosuch`, code: 125},
	{name: "no such container", script: `naru rm nosuch; naru logs nosuch; naru start nosuch`, stderr: `No such container: nosuch`, code: 1},
	{name: "unknown command", script: `naru rnu`, stderr: `naru: error: unknown command "rnu"`, code: 1},
	{name: "another platform", script: `naru pull -q --platform linux/s390x $IMG`, stderr: `naru: error: .*linux/s390x`, code: 1},
	{name: "corrupt archive", script: `head -c 100000 /dev/urandom | naru load`, stderr: `naru: error: `, code: 1},
	{name: "corrupt import", script: `head -c 100000 /dev/urandom | naru import - bad/$N; naru images -q bad/$N`, stderr: `naru: error: `},
	{name: "nothing is left by a failed run", script: `naru run --rm --name $N $IMG nosuch 2>/dev/null; naru ps -aq -f name=$N | wc -l; naru run --rm --name $N $IMG echo again`, stdout: "0\nagain\n"},
	{name: "not served yet", script: `naru run --rm --userns private $IMG true`, stderr: `naru: error: .*(userns|USER)`, code: 125},
}
