package acceptance

// dockerfilesConfig are about the instructions that make an image's configuration.
var dockerfilesConfig = []dockerfile{
	{name: "env: its forms", text: `FROM {BASE}
ENV A=1 B="two words" C=three\ words D='single $A' E="double $A"
ENV F old form with $A
ENV G= H=""
ENV A=2 I=$A
`, machine: true},
	{name: "env: expansions", text: `FROM {BASE}
ENV A=a/b/a.tar.gz E=
ENV V1=${A} V2=${X:-default} V3=${E:-empty} V4=${E-kept} V5=${A:+set} V6=${X:+unset} V7=\$A V8=$A$A V9=${A}x
ENV P1=${A#*/} P2=${A##*/} P3=${A%.*} P4=${A%%.*} P5=${A/a/x} P6=${A//a/x}
`},
	{name: "env: a variable that must be set", text: "FROM {BASE}\nENV A=${X:?give me X}\n"},
	{name: "env: nothing", text: "FROM {BASE}\nENV\n"},
	{name: "env: no name", text: "FROM {BASE}\nENV =x\n"},
	{name: "env: no value", text: "FROM {BASE}\nENV A\n"},
	{name: "env: PATH of the base", text: "FROM {BASE}\nENV PATH=/opt/bin:$PATH\n"},
	{name: "label: quoting", text: `FROM {BASE}
LABEL a="b c" d='e f' "g h"=i j=k\ l m="n \"o\"" p="q \
r" com.example.x=1
LABEL old form here
LABEL a=again e=
`},
	{name: "label: from the client", text: "FROM {BASE}\nLABEL a=file b=file\n", attrs: map[string]string{"label:a": "client", "label:c": "client"}},
	{name: "label: of the base and of its stages", text: "FROM {BASE} AS one\nLABEL a=1 b=1\nFROM one\nLABEL b=2\n"},
	{name: "label: no value", text: "FROM {BASE}\nLABEL a\n"},
	{name: "expose: ports, protocols, ranges", text: "FROM {BASE}\nARG P=70\nEXPOSE 80 81/udp 82/TCP 90-92 93-94/sctp $P\nEXPOSE 80\n"},
	{name: "expose: no port", text: "FROM {BASE}\nEXPOSE x\n"},
	{name: "expose: a bad range", text: "FROM {BASE}\nEXPOSE 92-90\n"},
	{name: "expose: a bad protocol", text: "FROM {BASE}\nEXPOSE 80/nosuch\n"},
	{name: "expose: a port of the host", text: "FROM {BASE}\nEXPOSE 8080:80\n"},
	{name: "volume: its forms", text: "FROM {BASE}\nENV D=/data\nVOLUME /a /b\nVOLUME [\"/c\", \"/d e\"]\nVOLUME $D\n"},
	{name: "volume: files in it", text: "FROM {BASE}\nRUN mkdir /v && echo a >/v/a\nVOLUME /v\nRUN echo b >/v/b\nCOPY f /v/c\n", files: map[string]string{"f": "text"}},
	{name: "volume: nothing", text: "FROM {BASE}\nVOLUME\n"},
	{name: "volume: an empty name", text: "FROM {BASE}\nVOLUME [\"\"]\n"},
	{name: "workdir: it is made", text: "FROM {BASE}\nWORKDIR /one/two\nWORKDIR three\nWORKDIR ../four\nENV D=five\nWORKDIR $D\n"},
	{name: "workdir: of a user", text: "FROM {BASE}\nUSER 7:8\nWORKDIR /w/x\nRUN id -u >/tmp/id\n"},
	{name: "workdir: it is there", text: "FROM {BASE}\nWORKDIR /tmp\n"},
	{name: "workdir: in scratch", text: "FROM scratch\nWORKDIR a\nCOPY f .\n", files: map[string]string{"f": "text"}},
	{name: "workdir: nothing", text: "FROM {BASE}\nWORKDIR\n"},
	{name: "workdir: quotes, and a slash at its end", text: "FROM {BASE}\nWORKDIR \"/a b/\"\nWORKDIR c/\n"},
	{name: "user: its forms", text: "FROM {BASE}\nUSER me\nUSER me:us\nARG U=5\nUSER $U:6\n"},
	{name: "user: nothing", text: "FROM {BASE}\nUSER\n"},
	{name: "cmd: exec form", text: "FROM {BASE}\nCMD [\"a\", \"b c\", \"$HOME\"]\n"},
	{name: "cmd: shell form", text: "FROM {BASE}\nCMD echo \"a b\"   $HOME && x\n"},
	{name: "cmd: no JSON", text: "FROM {BASE}\nCMD ['a', 'b']\n"},
	{name: "cmd: twice", text: "FROM {BASE}\nCMD one\nCMD [\"two\"]\n"},
	{name: "cmd: nothing", text: "FROM {BASE}\nCMD\n"},
	{name: "cmd: an empty list", text: "FROM {BASE}\nCMD []\n"},
	{name: "entrypoint: it resets the base's CMD", text: "FROM {BASE}\nENTRYPOINT [\"/e\"]\n", machine: true},
	{name: "entrypoint: CMD of the same file stays", text: "FROM {BASE}\nCMD [\"c\"]\nENTRYPOINT e $HOME\n"},
	{name: "entrypoint: an empty list", text: "FROM {BASE}\nENTRYPOINT [\"a\"]\nENTRYPOINT []\n"},
	{name: "entrypoint: in a stage upon another", text: "FROM {BASE} AS a\nENTRYPOINT [\"a\"]\nCMD [\"b\"]\nFROM a\nENTRYPOINT [\"c\"]\n"},
	{name: "shell: of CMD, ENTRYPOINT and RUN", text: "FROM {BASE}\nSHELL [\"/bin/bash\", \"-ec\"]\nRUN [[ -n $BASH_VERSION ]] && echo bash >/shell\nCMD a\nENTRYPOINT b\n"},
	{name: "shell: no JSON", text: "FROM {BASE}\nSHELL /bin/bash -c\n"},
	{name: "shell: nothing", text: "FROM {BASE}\nSHELL []\n"},
	{name: "stopsignal: by name, by number", text: "FROM {BASE}\nSTOPSIGNAL SIGUSR1\nSTOPSIGNAL 9\nARG S=QUIT\nSTOPSIGNAL SIG$S\n"},
	{name: "stopsignal: none", text: "FROM {BASE}\nSTOPSIGNAL SIGNOSUCH\n"},
	{name: "healthcheck: a command and its options", text: "FROM {BASE}\nHEALTHCHECK --interval=5m --timeout=3s --start-period=1m --start-interval=2s --retries=4 CMD curl -f x || exit 1\n", since: "1.56"},
	{name: "healthcheck: exec form", text: "FROM {BASE}\nHEALTHCHECK CMD [\"/check\", \"x\"]\n", since: "1.56"},
	{name: "healthcheck: none", text: "FROM {BASE}\nHEALTHCHECK CMD x\nHEALTHCHECK NONE\n", since: "1.56"},
	{name: "healthcheck: a bad interval", text: "FROM {BASE}\nHEALTHCHECK --interval=x CMD y\n"},
	{name: "healthcheck: an interval that is too short", text: "FROM {BASE}\nHEALTHCHECK --interval=1us CMD y\n"},
	{name: "healthcheck: bad retries", text: "FROM {BASE}\nHEALTHCHECK --retries=-1 CMD y\n"},
	{name: "healthcheck: none with a command", text: "FROM {BASE}\nHEALTHCHECK NONE x\n"},
	{name: "healthcheck: an unknown form", text: "FROM {BASE}\nHEALTHCHECK x\n"},
	{name: "healthcheck: nothing", text: "FROM {BASE}\nHEALTHCHECK\n"},
	{name: "maintainer", text: "FROM {BASE}\nMAINTAINER me <me@example.test>\n"},
	{name: "onbuild: it waits", text: "FROM {BASE}\nONBUILD COPY f /\nONBUILD RUN [\"x\"]\nONBUILD ENV A=$B\n"},
	{name: "onbuild: it comes", first: "FROM {BASE}\nONBUILD COPY f /\nONBUILD RUN cat /f >/g\nONBUILD ENV A=b\n", text: "FROM {FIRST}\nLABEL l=$A\n", files: map[string]string{"f": "text"}},
	{name: "onbuild: of a file that is not there", first: "FROM {BASE}\nONBUILD COPY f /\n", text: "FROM {FIRST}\n"},
	{name: "onbuild: of itself", text: "FROM {BASE}\nONBUILD ONBUILD RUN x\n"},
	{name: "onbuild: FROM", text: "FROM {BASE}\nONBUILD FROM x\n"},
	{name: "onbuild: nothing", text: "FROM {BASE}\nONBUILD\n"},
	{name: "config: all of it", text: `FROM {BASE}
LABEL a=b
ENV A=b
EXPOSE 80
VOLUME /v
USER me
WORKDIR /w
STOPSIGNAL SIGINT
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT ["e"]
CMD ["c"]
ONBUILD LABEL c=d
`},
}

// dockerfilesArg are about ARG.
var dockerfilesArg = []dockerfile{
	{name: "arg: given, default, neither", text: "FROM {BASE}\nARG A\nARG B=default\nARG C D=d\nLABEL l=$A,$B,$C,$D\n", attrs: map[string]string{"build-arg:A": "given", "build-arg:D": ""}},
	{name: "arg: of the file's head, with and without a second one", text: "ARG A=head\nARG B=head\nFROM {BASE}\nARG A\nLABEL l=$A,$B\n"},
	{name: "arg: of the head, given", text: "ARG A=head\nFROM {BASE}\nARG A\nARG A=stage\nLABEL l=$A\n"},
	{name: "arg: it ends with its stage", text: "FROM {BASE} AS a\nARG A=1\nLABEL a=$A\nFROM {BASE}\nLABEL b=$A\n"},
	{name: "arg: stages upon it have it", text: "FROM {BASE} AS a\nARG A=1\nFROM a\nLABEL b=$A\n"},
	{name: "arg: ENV is stronger", text: "FROM {BASE}\nARG A=arg\nENV A=env\nARG A=again\nLABEL l=$A\n", attrs: map[string]string{"build-arg:A": "given"}},
	{name: "arg: before it is declared", text: "FROM {BASE}\nLABEL a=$A\nARG A=x\nLABEL b=$A\n", attrs: map[string]string{"build-arg:A": "given"}},
	{name: "arg: from another", text: "FROM {BASE}\nARG A=1\nARG B=${A}2\nENV E=3\nARG C=${E}4\nLABEL l=$B,$C\n"},
	{name: "arg: not declared", text: "FROM {BASE}\nLABEL l=$X\n", attrs: map[string]string{"build-arg:X": "x"}},
	{name: "arg: predefined ones", text: "FROM {BASE}\nRUN echo \"$HTTP_PROXY,$http_proxy,$NO_PROXY,$FTP_PROXY,$ALL_PROXY\" >/p\n",
		attrs: map[string]string{"build-arg:HTTP_PROXY": "http://p.example.test", "build-arg:no_proxy": "x", "build-arg:ALL_PROXY": "y"}},
	{name: "arg: predefined ones that are declared", text: "FROM {BASE}\nARG HTTP_PROXY\nRUN echo \"$HTTP_PROXY\" >/p\n", attrs: map[string]string{"build-arg:HTTP_PROXY": "http://p.example.test"}},
	{name: "arg: in a step and its history", text: "FROM {BASE}\nARG A=1\nARG B\nARG C=3\nRUN echo \"$A,$B,$C\" >/a\n", attrs: map[string]string{"build-arg:B": "two words"}},
	{name: "arg: in the environment of a step, not of the image", text: "FROM {BASE}\nARG A=1\nENV B=2\nRUN env | sort >/env\n"},
	{name: "arg: nothing", text: "FROM {BASE}\nARG\n"},
	{name: "arg: a bad name", text: "FROM {BASE}\nARG =x\n"},
	{name: "arg: the time of the source", text: "FROM scratch\nCOPY f /\nARG SOURCE_DATE_EPOCH\nLABEL l=$SOURCE_DATE_EPOCH\n", attrs: map[string]string{"build-arg:SOURCE_DATE_EPOCH": "1000000000"}, files: map[string]string{"f": "text"}},
	{name: "arg: several platforms for an image", text: "FROM scratch\nCOPY f /\n", files: map[string]string{"f": "text"}, attrs: map[string]string{"platform": "linux/amd64,linux/arm64"}, differs: "several platforms"},
	{name: "arg: one of the frontend", text: "FROM {BASE}\nARG BUILDKIT_SANDBOX_HOSTNAME\nLABEL l=$BUILDKIT_SANDBOX_HOSTNAME\n", attrs: map[string]string{"build-arg:BUILDKIT_SANDBOX_HOSTNAME": "box"}},
}
