package acceptance

// logRows are about log drivers, their options, and the logs and attach verbs.
var logRows = []row{
	{name: "log driver none", script: `naru run --log-driver none --name $N $IMG echo out; naru logs $N`, stdout: "out\n", stderr: `naru: error: configured logging driver does not support reading`, code: 1},
	{name: "log driver local", script: `naru run --log-driver local --name $N $IMG seq 100 >/dev/null; naru logs $N | wc -l; naru logs -n 1 $N; naru inspect -f '{{.HostConfig.LogConfig.Type}} "{{.LogPath}}"' $N`, stdout: "100\n100\nlocal \"\"\n"},
	{name: "log rotation", script: `naru run --log-opt max-size=2k --log-opt max-file=3 --log-opt compress=true --name $N $IMG seq -w 1000 >/dev/null; L=$(naru logs $N); echo "$L" | tail -1; test $(echo "$L" | wc -l) -lt 100 && echo bounded; naru logs --tail 30 $N | wc -l`, stdout: "1000\nbounded\n30\n"},
	{name: "log follow over rotation", script: `naru run -d --log-opt max-size=2k --log-opt max-file=1000 --name $N $IMG bash -c 'for i in {1..500}; do echo $i; done' >/dev/null; naru logs -f $N | cmp - <(seq 500) && echo same`, stdout: "same\n"},
	{name: "log of a long line", script: `naru run --name $N $IMG bash -c 'printf "%040000d\n" 7; printf end' >/dev/null; naru logs $N | wc -lc; naru logs -t $N | grep -o Z | wc -l`, stdout: "      1   40004\n4\n"},
	{name: "log details", script: `naru run --log-opt labels=a,b --log-opt env=E --log-opt tag='{{.Name}}' -l a=1 -l b='x y' -e E=e --name $N $IMG echo hi >/dev/null; naru logs --details $N`, stdout: "E=e,a=1,b=x+y,tag=$N hi\n"},
	{name: "log driver unknown", script: `naru run --log-driver syslog $IMG true`, stderr: `naru: error: logger: no log driver named 'syslog' is registered`, code: 125},
	{name: "log option unknown", script: `naru run --log-opt x=y $IMG true`, stderr: `naru: error: unknown log opt 'x' for json-file log driver`, code: 125},
	{name: "log option wrong", script: `naru run --log-opt max-size=-1 $IMG true; naru run --log-opt compress=true $IMG true`, stderr: `naru: error: invalid size: '-1'\n(.|\n)*naru: error: compress cannot be true when max-file is less than 2 or max-size is not set`, code: 125},
	{name: "log tail since until", script: `naru run --name $N $IMG bash -c 'echo a; sleep 1.2; echo b' >/dev/null; T=$(naru logs -t $N | sed -n 's/ b$//p'); naru logs --since $T $N; naru logs --until $T $N | wc -l; naru logs --tail 0 $N; naru logs --tail x $N | wc -l`, stdout: "b\n2\n2\n"},
	{name: "attach to what does not run", script: `naru create --name $N $IMG true >/dev/null; naru attach $N`, stderr: `naru: error: cannot attach to a stopped container, start it first`, code: 1},
	{name: "attach to a paused container", script: `naru run -d --name $N $IMG sleep 1000 >/dev/null; naru pause $N >/dev/null; naru attach $N; echo $?; naru exec $N true; echo $?; naru unpause $N`, stdout: "1\n1\n$N\n", stderr: `cannot attach to a paused container, unpause it first\n(.|\n)*[Cc]ontainer .* is paused, unpause the container before exec`},
	{name: "attach without stdin", script: `naru run -d -i --name $N $IMG sh -c 'sleep 0.3; echo one; exit 4' >/dev/null; naru attach --no-stdin $N`, stdin: "x\n", stdout: "one\n", code: 4},
	{name: "detach keys that are none", script: `naru run --detach-keys ctrl-1 --name $N $IMG true`, stderr: `naru: error: .*(ctrl-1|keys)`, code: 125},
	{name: "a slow pipe loses nothing", script: `naru run --rm $IMG bash -c 'head -c 20000000 /dev/zero' | (sleep 2; wc -c)`, stdout: "20000000\n"},
}
