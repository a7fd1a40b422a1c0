package acceptance

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// bomb is a build that wants more than there is. Its error must match, and the engine and other builds must be as before.
type bomb struct{ name, script, fails string }

var bombs = []bomb{
	{"a step fills the disk", `printf 'FROM %s\nRUN head -c 2G /dev/zero >/big\n' $IMG | naru build -q -`, "(?s)exit code: 1|no space left"},
	{"a step fills a cache mount", `printf 'FROM %s\nRUN --mount=type=cache,target=/c head -c 2G /dev/zero >/c/big\n' $IMG | naru build -q -`, "(?s)exit code: 1|no space left"},
	{"an archive of zeroes", `naru build -q -f add bombs`, "(?i)no space left on device"},
	{"a context of zeroes", `naru build -q - <bombs/bomb.tar.gz`, "(?i)no space left on device"},
	{"a context that ends early", `head -c 5000 bombs/long.tar | naru build -q -`, "unexpected EOF"},
	{"a context that is none", `head -c 5000 /dev/urandom >junk; (printf '\037\213\010'; cat junk) | naru build -q -`, "no such file|gzip: invalid|unexpected EOF"},
}

// fullBombs need a quiet machine: NARU_TEST_FULL.
var fullBombs = []bomb{
	{"a step that forks without end", `printf 'FROM %s\nRUN python3 -c "import os, time\\nwhile True:\\n  if os.fork() == 0: time.sleep(1000)"\n' $IMG | naru build -q -`, "exit code: 1"},
}

// TestBuildBombs: on a small disk, builds that fill it fail with a word of why, and leave room for the next.
func TestBuildBombs(t *testing.T) {
	requireBuilt(t, "direct")
	requirePlugins(t)
	w := newWorld(t, "direct")
	const disk = 700 << 20
	if err := unix.Mount("tmpfs", w.home, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "size=700m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.stop()
		if err := unix.Unmount(w.home, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	img := w.image(t, "bookworm")
	w.makeBombs(t, img, 2*disk)
	good := `naru build -q -t good - <good >/dev/null && naru run --rm --network none good cat /good && naru rmi good >/dev/null && naru buildx prune -af >/dev/null`
	w.sh(t, "printf 'FROM %s\\nRUN echo good >/good\\n' "+img+" >good; "+good)
	free := freeOf(t, w.home)
	all := bombs
	if os.Getenv("NARU_TEST_FULL") != "" {
		all = append(all[:len(all):len(all)], fullBombs...)
	}
	for _, b := range all {
		t.Run(b.name, func(t *testing.T) {
			r := w.exec(result{script: b.script, extra: []string{"IMG=" + img}})
			if r.code == 0 || !regexp.MustCompile(b.fails).MatchString(r.stderr) {
				t.Errorf("want the error %q; got %s", b.fails, r)
			}
			if got := w.sh(t, good); got != "good" {
				t.Errorf("the next build gives %q", got)
			}
			if now := freeOf(t, w.home); now < free-(16<<20) {
				t.Errorf("%d bytes are free, before it were %d", now, free)
			}
		})
	}
}

// makeBombs writes archives that hold more zeroes than the disk has room for.
func (w *world) makeBombs(t *testing.T, img string, size int64) {
	t.Helper()
	dir := filepath.Join(w.work, "bombs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	dockerfile := "FROM " + img + "\nCOPY zeroes /zeroes\n"
	var out bytes.Buffer
	z, _ := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	a := tar.NewWriter(z)
	for _, h := range []*tar.Header{{Name: "Dockerfile", Size: int64(len(dockerfile))}, {Name: "zeroes", Size: size}} {
		h.Typeflag, h.Mode = tar.TypeReg, 0o644
		if err := a.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		content := io.Reader(zeroes{})
		if h.Name == "Dockerfile" {
			content = strings.NewReader(dockerfile)
		}
		if _, err := io.CopyN(a, content, h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	long := bytes.NewBuffer(nil)
	if err := tar.NewWriter(long).WriteHeader(&tar.Header{Name: "Dockerfile", Size: 4 << 30, Mode: 0o644, Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	long.Write(make([]byte, 8192))
	for name, data := range map[string][]byte{"bomb.tar.gz": out.Bytes(), "long.tar": long.Bytes(), "../add": []byte("FROM " + img + "\nADD bomb.tar.gz /x/\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func freeOf(t *testing.T, dir string) int64 {
	t.Helper()
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	return int64(fs.Bavail) * fs.Bsize
}
