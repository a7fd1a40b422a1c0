package acceptance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"golang.org/x/sys/unix"
)

// fixedTime is that of all files of contexts, archives and servers.
var fixedTime = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)

// writeFiles makes a context. A file's name may be followed by its mode, "x 0755"; one that ends in a slash is a folder. Contents
// are text; "-> target" is a symbolic link, "@tar" and "@tar.gz" are archiveOf's, "@xattr" is a file with an attribute.
func writeFiles(dir string, files map[string]string, text func(string) string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var dirs []string
	for name, content := range files {
		mode := uint32(0o644)
		if m := fileMode.FindStringSubmatch(name); m != nil {
			given, err := strconv.ParseUint(m[2], 8, 32)
			if err != nil {
				return err
			}
			name, mode = m[1], uint32(given)
		} else if strings.HasSuffix(name, "/") {
			mode = 0o755
		}
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := writeFile(path, name, text(content), mode); err != nil {
			return err
		}
		for up := filepath.Dir(path); len(up) >= len(dir); up = filepath.Dir(up) {
			dirs = append(dirs, up)
		}
	}
	slices.Sort(dirs)
	for _, d := range slices.Compact(dirs) {
		if err := os.Chtimes(d, fixedTime, fixedTime); err != nil {
			return err
		}
	}
	return nil
}

var fileMode = regexp.MustCompile(`^(.*) ([0-7]{4})$`)

func writeFile(path, name, content string, mode uint32) error {
	if target, ok := strings.CutPrefix(content, "-> "); ok {
		if err := os.Symlink(target, path); err != nil {
			return err
		}
		at := unix.NsecToTimespec(fixedTime.UnixNano())
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
	}
	if strings.HasSuffix(name, "/") {
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
	} else if err := os.WriteFile(path, contentOf(content), 0o644); err != nil {
		return err
	}
	if content == "@xattr" {
		if err := unix.Setxattr(path, "user.naru", []byte("kept"), 0); err != nil {
			return err
		}
	}
	if err := syscall.Chmod(path, mode); err != nil {
		return err
	}
	return os.Chtimes(path, fixedTime, fixedTime)
}

func contentOf(content string) []byte {
	switch content {
	case "@tar":
		return archiveOf()
	case "@tar.gz":
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(archiveOf()) // into memory
		_ = w.Close()
		return b.Bytes()
	}
	return []byte(content)
}

// archiveOf is an archive with a bit of everything.
func archiveOf() []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, text string) {
		h.Size, h.ModTime, h.Format = int64(len(text)), fixedTime, tar.FormatPAX
		if err := w.WriteHeader(&h); err != nil {
			panic(err)
		}
		if _, err := io.WriteString(w, text); err != nil {
			panic(err)
		}
	}
	add(tar.Header{Name: "in/", Typeflag: tar.TypeDir, Mode: 0o2750, Uid: 7, Gid: 8}, "")
	add(tar.Header{Name: "in/file", Typeflag: tar.TypeReg, Mode: 0o640, Uid: 7, Gid: 8}, "text\n")
	add(tar.Header{Name: "in/hard", Typeflag: tar.TypeLink, Linkname: "in/file", Mode: 0o640, Uid: 7, Gid: 8}, "")
	add(tar.Header{Name: "in/soft", Typeflag: tar.TypeSymlink, Linkname: "../out", Mode: 0o777}, "")
	add(tar.Header{Name: "in/fifo", Typeflag: tar.TypeFifo, Mode: 0o600}, "")
	add(tar.Header{Name: "in/setuid", Typeflag: tar.TypeReg, Mode: 0o4755}, "s")
	add(tar.Header{Name: "in/attr", Typeflag: tar.TypeReg, Mode: 0o644, PAXRecords: map[string]string{
		"SCHILY.xattr.user.naru": "kept", "SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x04" + strings.Repeat("\x00", 14), // cap_net_bind_service=ep
	}}, "a")
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// webFiles are what ADD and builds fetch: /file, /a.tar.gz, contexts, and the git repository /repo.git for clients of its dumb protocol.
func webFiles(t *testing.T) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	serve := func(content []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", fixedTime, bytes.NewReader(content))
		}
	}
	mux.Handle("/file", serve([]byte("from the web\n")))
	mux.Handle("/a.tar.gz", serve(contentOf("@tar.gz")))
	mux.Handle("/Dockerfile.alone", serve([]byte("FROM scratch\nCOPY <<alone /\nit is\nalone\n")))
	mux.Handle("/context.tar.gz", serve(contextArchive(t)))
	mux.Handle("/repo.git/", http.StripPrefix("/repo.git/", http.FileServer(http.Dir(gitRepo(t)))))
	return mux
}

// contextArchive is the context buildContext, zipped.
func contextArchive(t *testing.T) []byte {
	t.Helper()
	dir := t.TempDir()
	if err := writeFiles(dir, buildContext, strings.NewReplacer().Replace); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if err := errors.Join(tarFolder(w, dir), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// gitScript makes a repository whose commit has the same ID each time.
const gitScript = `set -e
export GIT_CONFIG_NOSYSTEM=1 HOME=$PWD GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.test GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.test
export GIT_AUTHOR_DATE=2001-02-03T04:05:06Z GIT_COMMITTER_DATE=2001-02-03T04:05:06Z
git init -q -b main work; cd work; mkdir sub; printf 'of the repository\n' >file; printf '#!/bin/sh\n' >sub/run; chmod 755 sub/run
printf 'FROM scratch\nCOPY file sub/run /\n' >Dockerfile
git add .; git commit -q -m one; git tag v1; git checkout -q -b other; echo other >file; git commit -q -a -m two; git checkout -q main
cd ..; git clone -q --bare work repo.git; git -C repo.git update-server-info`

func gitRepo(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("bash", "-c", gitScript)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make a repository: %v: %s", err, out)
	}
	return filepath.Join(dir, "repo.git")
}

// sshAgent starts an agent with a key, and returns its socket.
func sshAgent(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(base, "agent") // short: sockets are limited to 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command("ssh-agent", "-D", "-a", socket)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started, ended := make(chan error, 1), make(chan error, 1)
	go func() { startLocked(cmd, started); close(ended) }()
	if err := <-started; err != nil {
		t.Skipf("%v; run `scripts/setup test`", err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	add := exec.Command("bash", "-c", `until [ -S s ]; do sleep 0.01; done; ssh-keygen -q -t ed25519 -N '' -f key && SSH_AUTH_SOCK=$PWD/s ssh-add -q key`)
	add.Dir = dir
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("add a key: %v: %s", err, out)
	}
	return socket
}

// tinyPrograms are those of the small image, from Debian's bookworm: a shell, and what the steps of Dockerfiles need.
var tinyPrograms = strings.Fields(`bin/sh bin/dash bin/bash bin/cat bin/chmod bin/chown bin/cp bin/env bin/grep bin/head bin/id bin/ln bin/ls bin/mkdir bin/mkfifo
	bin/mv bin/pwd bin/readlink bin/rm bin/rmdir bin/sed bin/sort bin/stat bin/touch bin/tr bin/true bin/false bin/uniq bin/wc bin/whoami`)

// tinyLibraries are what these are linked with, by the beginnings of their names.
var tinyLibraries = []string{"ld-linux", "libc.so", "libselinux.so", "libpcre2-8.so", "libacl.so", "libattr.so", "libtinfo.so"}

// tinyLayer is a layer with few files of bookworm's.
func tinyLayer() (v1.Layer, error) {
	in, err := os.Open(filepath.Join(root, ".cache/images/bookworm.tar.gz"))
	if err != nil {
		return nil, fmt.Errorf("%w; run `scripts/images`", err)
	}
	defer in.Close()
	unzipped, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	from, to := tar.NewReader(unzipped), tar.NewWriter(&out)
	for {
		h, err := from.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if !inTiny(h) {
			continue
		}
		if err := to.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.Copy(to, from); err != nil {
			return nil, err
		}
	}
	// Without these the runtime would make them at each step.
	for _, file := range []string{"etc/hosts", "etc/resolv.conf"} {
		if err := to.WriteHeader(&tar.Header{Name: file, Mode: 0o644, ModTime: fixedTime}); err != nil {
			return nil, err
		}
	}
	if err := to.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil })
}

// tinyFiles are the others: the folders that are there in every system, and two files.
var tinyFiles = strings.Fields(`bin lib lib64 sbin usr usr/bin usr/lib usr/lib64 usr/sbin etc etc/passwd etc/group tmp var var/tmp root home proc sys dev run`)

func inTiny(h *tar.Header) bool {
	name := strings.Trim(strings.TrimPrefix(h.Name, "."), "/")
	if slices.Contains(tinyFiles, name) || slices.Contains(tinyPrograms, strings.TrimPrefix(name, "usr/")) {
		return true
	}
	dir, file := filepath.Split(name)
	if h.Typeflag == tar.TypeDir {
		return strings.HasPrefix(name, "usr/lib/") && strings.HasSuffix(name, "-linux-gnu")
	}
	return (dir == "usr/lib64/" || strings.HasSuffix(dir, "-linux-gnu/")) &&
		slices.ContainsFunc(tinyLibraries, func(l string) bool { return strings.HasPrefix(file, l) })
}
