package acceptance

import "strings"

// armProgram is the head of a program for aarch64.
var armProgram = "\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9) + "\x02\x00\xb7\x00\x01\x00\x00\x00" + strings.Repeat("\x00", 40)

// dockerfilesRun are about RUN.
var dockerfilesRun = []dockerfile{
	{name: "run: shell form", text: "FROM {BASE}\nRUN echo \"a  b\" >/x && \\\n  # within\n  echo c >>/x\n", machine: true},
	{name: "run: exec form", text: "FROM {BASE}\nENV A=b\nRUN [\"touch\", \"/$A\", \"/a b\"]\n"},
	{name: "run: a here-document", text: "FROM {BASE}\nENV A=b\nRUN <<EOF\necho one $A >/x\necho two >>/x\nEOF\n"},
	{name: "run: a here-document that is quoted, and one that is indented", text: "FROM {BASE}\nENV A=b\nRUN <<'EOF'\necho '$A' $A >/x\nEOF\nRUN <<-EOF\n\t\techo tabs >/y\n\tEOF\n"},
	{name: "run: a here-document for an interpreter", text: "FROM {BASE}\nRUN <<EOF\n#!/bin/bash\necho ${BASH_VERSION%%.*} >/x\nEOF\nRUN /bin/bash <<EOF\necho ${BASH_VERSION%%.*} >/y\nEOF\n"},
	{name: "run: several here-documents", text: "FROM {BASE}\nRUN cat <<ONE >/x && cat <<TWO >/y\nfirst\nONE\nsecond\nTWO\n"},
	{name: "run: it fails", text: "FROM {BASE}\nRUN echo seen && exit 3\n", machine: true},
	{name: "run: it fails in exec form", text: "FROM {BASE}\nRUN [\"false\", \"x\"]\n"},
	{name: "run: a line of a here-document fails", text: "FROM {BASE}\nRUN <<EOF\nfalse\necho on >/x\nEOF\n"},
	{name: "run: killed by a signal", text: "FROM {BASE}\nRUN sh -c 'kill -KILL $$'\n"},
	{name: "run: no such program", text: "FROM {BASE}\nRUN [\"/nosuch\"]\n"},
	{name: "run: a program of another architecture", text: "FROM scratch\nCOPY --chmod=755 p /\nRUN [\"/p\"]\n", files: map[string]string{"p": armProgram}, attrs: map[string]string{"platform": "linux/arm64"}, differs: "exec format"},
	{name: "run: no program", text: "FROM {BASE}\nCOPY --chmod=755 p /\nRUN [\"/p\"]\n", files: map[string]string{"p": "text"}, differs: "exec format"},
	{name: "run: not executable", text: "FROM {BASE}\nCOPY p /\nRUN [\"/p\"]\n", files: map[string]string{"p": "text"}},
	{name: "run: no shell", text: "FROM scratch\nRUN x\n"},
	{name: "run: nothing", text: "FROM {BASE}\nRUN\n"},
	{name: "run: an empty list", text: "FROM {BASE}\nRUN []\n"},
	{name: "run: its environment", text: "FROM {BASE}\nENV A=b\nWORKDIR /w\nRUN env | sort >/env\nUSER nobody\nRUN env | sort >/tmp/env\n"},
	{name: "run: its user", text: "FROM {BASE}\nUSER 7:8\nRUN id >/tmp/a\nUSER 9\nRUN id >/tmp/b\nUSER daemon\nRUN id >/tmp/c\nUSER daemon:mail\nRUN id >/tmp/d\nUSER root\nRUN id >/tmp/e\n"},
	{name: "run: a user that is not there", text: "FROM {BASE}\nUSER nosuch\nRUN true\n"},
	{name: "run: a group that is not there", text: "FROM {BASE}\nUSER root:nosuch\nRUN true\n"},
	{name: "run: its rights", text: "FROM {BASE}\nRUN grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups|Umask)' /proc/self/status >/s\nUSER 7\nRUN grep -E '^(Cap|NoNewPrivs|Seccomp:|Groups)' /proc/self/status >/tmp/s\n"},
	{name: "run: its mounts", text: "FROM {BASE}\nRUN while read -r a b c d at flags rest; do echo \"$at ${flags%%,*}\"; done </proc/self/mountinfo | grep -E '^(/|/dev.*|/etc.*|/proc(/(bus|fs|irq|sys))?|/sys|/sys/firmware) ' | sort >/m\n"},
	{name: "run: its devices", text: "FROM {BASE}\nRUN ls -l /dev | sed -E 's/^([^ ]+) +[0-9]+ ([^ ]+) ([^ ]+) +.* ([^ ]+( -> .*)?)$/\\1 \\2 \\3 \\4/' | grep -v kcore | sort >/d\n"},
	{name: "run: its input is empty", text: "FROM {BASE}\nRUN wc -c >/n\n"},
	{name: "run: its host name", text: "FROM {BASE}\nRUN cat /proc/sys/kernel/hostname /etc/hosts >/h\n"},
	{name: "run: a host name that is given", text: "FROM {BASE}\nRUN cat /proc/sys/kernel/hostname /etc/hosts >/h\n", attrs: map[string]string{"build-arg:BUILDKIT_SANDBOX_HOSTNAME": "box"}},
	{name: "run: hosts that are given", text: "FROM {BASE}\nRUN cat /etc/hosts >/h\n", attrs: map[string]string{"add-hosts": "one=192.0.2.1,two=2001:db8::2"}},
	{name: "run: a bad host", text: "FROM {BASE}\nRUN true\n", attrs: map[string]string{"add-hosts": "one"}},
	{name: "run: ulimits", text: "FROM {BASE}\nRUN grep -E 'open files|core file' /proc/self/limits >/l\n", attrs: map[string]string{"ulimit": "nofile=100:200,core=0"}},
	{name: "run: a bad ulimit", text: "FROM {BASE}\nRUN true\n", attrs: map[string]string{"ulimit": "nofile=x"}},
	{name: "run: the size of /dev/shm", text: "FROM {BASE}\nRUN grep ' /dev/shm ' /proc/mounts | sed 's/.*size/size/; s/,.*//' >/s\n", attrs: map[string]string{"shm-size": "16777216"}},
	{name: "run: a parent cgroup", text: "FROM {BASE}\nRUN true\n", attrs: map[string]string{"cgroup-parent": ""}},
	{name: "run: files that go and change", text: `FROM {BASE}
RUN mkdir /d /e && echo 1 >/d/a && echo 2 >/d/b && ln /d/a /d/hard && ln -s a /d/soft && mkfifo /d/fifo && chown 7:8 /d/b && chmod 4755 /d/b
RUN rm /d/a && echo 3 >/e/f && chmod 700 /e && rmdir /home && rm /etc/group
RUN rm -r /d && mkdir /d && echo new >/d/c && touch /e
`},
	{name: "run: a folder becomes a file, and the other way", text: "FROM {BASE}\nRUN mkdir /d && touch /d/f /g\nRUN rm -r /d && echo file >/d && rm /g && mkdir /g\n"},
	{name: "run: nothing changes", text: "FROM {BASE}\nRUN true\nRUN echo >/dev/null\n"},
	{name: "run: files for the runtime are not kept", text: "FROM {BASE}\nRUN echo x >/etc/hosts; echo y >/etc/resolv.conf; ls -a / >/list\n"},
	{name: "run: mount points are not kept", text: "FROM scratch AS empty\nCOPY --from={BASE} /usr/bin/dash /usr/bin/true /bin/\nCOPY --from={BASE} /lib64 /lib64\nCOPY --from={BASE} /usr/lib /usr/lib\nCOPY --from={BASE} /lib /lib\nRUN [\"/bin/true\"]\nFROM {BASE}\nRUN --mount=from=empty,target=/e ls /e /e/etc >/x 2>&1 || true\n"},
	{name: "run: the network", text: "FROM {BASE}\nRUN ls /sys/class/net | sort >/n\n"},
	{name: "run: no network", text: "FROM {BASE}\nRUN --network=none ls /sys/class/net >/n\n"},
	{name: "run: the default network", text: "FROM {BASE}\nRUN --network=default ls /sys/class/net | sort >/n\n"},
	{name: "run: the host's network is refused", text: "FROM {BASE}\nRUN --network=host ls\n"},
	{name: "run: the host's network is granted", text: "FROM {BASE}\nRUN --network=host grep -c lo: /proc/net/dev >/n\n", allow: []string{"network.host"}},
	{name: "run: the host's network for all steps, refused", text: "FROM {BASE}\nRUN true\n", attrs: map[string]string{"force-network-mode": "host"}},
	{name: "run: no network for all steps", text: "FROM {BASE}\nRUN ls /sys/class/net >/n\n", attrs: map[string]string{"force-network-mode": "none"}},
	{name: "run: an unknown network", text: "FROM {BASE}\nRUN --network=nosuch ls\n"},
	{name: "run: security=sandbox", text: "FROM {BASE}\nRUN --security=sandbox grep CapEff /proc/self/status >/s\n", since: "1.56"},
	{name: "run: security=insecure is refused", text: "FROM {BASE}\nRUN --security=insecure true\n", since: "1.56"},
	{name: "run: security=insecure is refused although the client grants it", text: "FROM {BASE}\nRUN --security=insecure true\n", allow: []string{"security.insecure"}, since: "1.56"},
	{name: "run: an unknown security", text: "FROM {BASE}\nRUN --security=nosuch true\n", since: "1.56"},
	{name: "run: an unknown entitlement", text: "FROM {BASE}\n", allow: []string{"nosuch"}},
	{name: "run: an unknown flag", text: "FROM {BASE}\nRUN --nosuch true\n"},
}

// dockerfilesMount are about RUN --mount.
var dockerfilesMount = []dockerfile{
	{name: "mount: the context", text: "FROM {BASE}\nRUN --mount=target=/c cat /c/f /c/sub/g >/x\n", files: map[string]string{"f": "text", "sub/g": "more"}},
	{name: "mount: a part of the context", text: "FROM {BASE}\nWORKDIR /w\nRUN --mount=type=bind,source=sub/g,target=h cat h >x\n", files: map[string]string{"sub/g": "more"}},
	{name: "mount: a stage", text: "FROM scratch AS s\nCOPY f /d/\nFROM {BASE}\nRUN --mount=from=s,src=/d,dst=/s cat /s/f >/x\n", files: map[string]string{"f": "text"}},
	{name: "mount: an image", text: "FROM {BASE}\nRUN --mount=from={BASE},target=/i [ -e /i/etc/passwd ] && echo there >/x\n"},
	{name: "mount: it cannot be written", text: "FROM {BASE}\nRUN --mount=target=/c touch /c/new\n"},
	{name: "mount: what is written is not kept", text: "FROM {BASE}\nRUN --mount=target=/c,rw touch /c/new && [ -e /c/new ] && echo seen >/x\nRUN --mount=target=/c [ ! -e /c/new ]\n"},
	{name: "mount: the mount point goes", text: "FROM {BASE}\nRUN --mount=type=tmpfs,target=/new/deep echo x >/new/deep/f\n"},
	{name: "mount: a source that is not there", text: "FROM {BASE}\nRUN --mount=source=nosuch,target=/c true\n"},
	{name: "mount: no target", text: "FROM {BASE}\nRUN --mount=type=bind true\n"},
	{name: "mount: an unknown type", text: "FROM {BASE}\nRUN --mount=type=nosuch,target=/x true\n"},
	{name: "mount: an unknown option", text: "FROM {BASE}\nRUN --mount=type=bind,target=/x,nosuch=1 true\n"},
	{name: "mount: no JSON, no CSV", text: "FROM {BASE}\nRUN --mount=type=\"bind true\n"},
	{name: "mount: an unknown stage", text: "FROM {BASE}\nRUN --mount=from=UPPER,target=/x true\n"},
	{name: "mount: a variable in it", text: "FROM {BASE}\nARG D=/c\nRUN --mount=target=${D} cat /c/f >/x\n", files: map[string]string{"f": "text"}},
	{name: "mount: cache", text: `FROM {BASE}
RUN --mount=type=cache,id={N}-a,target=/c echo 1 >/c/f
RUN --mount=type=cache,id={N}-a,target=/d cat /d/f >/x
RUN --mount=type=cache,id={N}-b,target=/c ls -a /c >/y
RUN ls -a /c >/z || echo none >/z
`},
	{name: "mount: cache: owner and mode", text: "FROM {BASE}\nRUN --mount=type=cache,id={N},target=/c,uid=7,gid=8,mode=0711 stat -c '%a %u:%g' /c >/x\n"},
	{name: "mount: cache: sharing", text: `FROM {BASE}
RUN --mount=type=cache,id={N}-l,target=/c,sharing=locked echo locked >/c/f
RUN --mount=type=cache,id={N}-l,target=/c,sharing=locked cat /c/f >/x
RUN --mount=type=cache,id={N}-p,target=/c,sharing=private echo private >/c/f
RUN --mount=type=cache,id={N}-p,target=/c,sharing=private cat /c/f >/z
`},
	{name: "mount: cache: read-only", text: "FROM {BASE}\nRUN --mount=type=cache,id={N},target=/c,ro touch /c/f\n"},
	{name: "mount: cache: from a stage", text: "FROM scratch AS s\nCOPY f /d/\nFROM {BASE}\nRUN --mount=type=cache,id={N},target=/c,from=s,source=/d cat /c/f >/x && echo more >>/c/f\n", files: map[string]string{"f": "text"}},
	{name: "mount: cache: a bad sharing", text: "FROM {BASE}\nRUN --mount=type=cache,target=/c,sharing=nosuch true\n"},
	{name: "mount: cache: a bad mode", text: "FROM {BASE}\nRUN --mount=type=cache,target=/c,mode=x true\n"},
	{name: "mount: tmpfs", text: "FROM {BASE}\nRUN --mount=type=tmpfs,target=/t,size=1m echo x >/t/f && grep ' /t ' /proc/mounts | sed 's/.*size/size/; s/,.*//' >/x\nRUN [ ! -e /t/f ]\n"},
	{name: "mount: tmpfs: a bad size", text: "FROM {BASE}\nRUN --mount=type=tmpfs,target=/t,size=x true\n"},
	{name: "mount: secret", text: "FROM {BASE}\nRUN --mount=type=secret,id=s wc -c </run/secrets/s >/x; stat -c '%a %u:%g' /run/secrets/s >>/x\nRUN ls -a /run >/y\n", secrets: map[string]string{"s": "hush"}, machine: true},
	{name: "mount: secret: target, owner, mode", text: "FROM {BASE}\nRUN --mount=type=secret,id=s,target=/etc/s,uid=7,gid=8,mode=0440 stat -c '%a %u:%g %s' /etc/s >/x\n", secrets: map[string]string{"s": "hush"}},
	{name: "mount: secret: in the environment", text: "FROM {BASE}\nRUN --mount=type=secret,id=s,env=S echo ${#S} >/x; ls -a /run >>/x\nRUN env | grep -c '^S=' >/y || true\n", secrets: map[string]string{"s": "hush"}},
	{name: "mount: secret: environment and file", text: "FROM {BASE}\nRUN --mount=type=secret,id=s,env=S,target=/s echo ${#S} >/x; wc -c </s >>/x\n", secrets: map[string]string{"s": "hush"}},
	{name: "mount: secret: not given", text: "FROM {BASE}\nRUN --mount=type=secret,id=s ls -a /run >/x\n"},
	{name: "mount: secret: not given but required", text: "FROM {BASE}\nRUN --mount=type=secret,id=s,required true\n"},
	{name: "mount: secret: no name", text: "FROM {BASE}\nRUN --mount=type=secret true\n"},
	{name: "mount: ssh", text: "FROM {BASE}\nRUN --mount=type=ssh [ -S $SSH_AUTH_SOCK ] && echo $SSH_AUTH_SOCK >/x; stat -c '%a %u:%g' $SSH_AUTH_SOCK >>/x\nRUN echo \"$SSH_AUTH_SOCK\" >/y\n", ssh: true},
	{name: "mount: ssh: target, owner, mode", text: "FROM {BASE}\nRUN --mount=type=ssh,target=/tmp/a,uid=7,gid=8,mode=0660 stat -c '%a %u:%g %F' /tmp/a >/x\n", ssh: true},
	{name: "mount: ssh: not given", text: "FROM {BASE}\nRUN --mount=type=ssh echo \"$SSH_AUTH_SOCK\" >/x\n"},
	{name: "mount: ssh: not given but required", text: "FROM {BASE}\nRUN --mount=type=ssh,required true\n"},
}
