package vmimage

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

// eachImage runs a test on every image that is built.
func eachImage(t *testing.T, test func(t *testing.T, dir string, m *Manifest)) {
	t.Helper()
	for arch := range machines {
		t.Run(arch, func(t *testing.T) {
			dir := filepath.Join("../out/image", arch)
			m, err := ReadManifest(dir)
			if os.IsNotExist(err) {
				t.Skipf("no image for %s; run `make image ARCH=%s`", arch, arch)
			}
			if err != nil {
				t.Fatal(err)
			}
			test(t, dir, m)
		})
	}
}

func TestManifestTellsTheTruth(t *testing.T) {
	eachImage(t, func(t *testing.T, dir string, m *Manifest) {
		if m.Arch != filepath.Base(dir) || m.Kernel == "" || len(m.Files) != 3 || len(m.Programs) != 3 || len(m.Inputs) < 10 {
			t.Errorf("incomplete: %+v", m)
		}
		var total int64
		for _, f := range m.Files {
			size, sum := checksum(t, filepath.Join(dir, f.Name))
			if size != f.Bytes || sum != f.SHA256 {
				t.Errorf("%s: %d bytes, %s; the manifest says %d, %s", f.Name, size, sum, f.Bytes, f.SHA256)
			}
			total += size
		}
		hash := regexp.MustCompile(`^[0-9a-f]{64}$`)
		for _, in := range m.Inputs {
			if in.Name == "" || in.Version == "" || in.Suite == "" || !hash.MatchString(in.SHA256) {
				t.Errorf("incomplete input: %+v", in)
			}
		}
		if total > 100e6 {
			t.Errorf("the image has grown to %d bytes", total)
		}
	})
}

// TestRootHoldsWhatTheGuestNeeds unpacks the root file system and looks, without running anything of it.
func TestRootHoldsWhatTheGuestNeeds(t *testing.T) {
	if _, err := exec.LookPath("fsck.erofs"); err != nil {
		t.Skip("fsck.erofs is missing; run `scripts/setup`")
	}
	eachImage(t, func(t *testing.T, dir string, m *Manifest) {
		root := filepath.Join(t.TempDir(), "root")
		if out, err := exec.Command("fsck.erofs", "--extract="+root, filepath.Join(dir, "root.erofs")).CombinedOutput(); err != nil {
			t.Fatalf("fsck.erofs: %v: %s", err, out)
		}
		for _, name := range []string{"naru-keeper", "naru-engine", "naru-hello", "naru-init", "crun", "busybox"} {
			checkELF(t, root, "usr/bin/"+name, machines[m.Arch], true)
		}
		for _, name := range []string{"mke2fs", "e2fsck"} {
			checkELF(t, root, "usr/sbin/"+name, machines[m.Arch], false)
		}
		for _, p := range m.Programs {
			if _, sum := checksum(t, filepath.Join(root, "usr/bin", p.Name)); sum != p.SHA256 {
				t.Errorf("%s is not the program of the manifest", p.Name)
			}
		}
		for _, dir := range []string{"proc", "sys", "dev", "run", "tmp", "var/lib/naru"} {
			if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
				t.Errorf("no mountpoint /%s", dir)
			}
		}
		certs, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
		if n := bytes.Count(certs, []byte("BEGIN CERTIFICATE")); err != nil || n < 100 {
			t.Errorf("%d CA certificates, error %v", n, err)
		}
		checkModules(t, filepath.Join(root, "usr/lib/modules/late"), machines[m.Arch], "virtio_net", "vmw_vsock_virtio_transport", "bridge", "veth", "nf_tables", "nft_masq", "naru_events")
		checkModules(t, filepath.Join(root, "usr/lib/modules/nfs"), machines[m.Arch], "nfs", "nfsv3", "nfsv4")
	})
}

// TestInitrdIsSmall: it lies in memory twice while the guest boots.
func TestInitrdIsSmall(t *testing.T) {
	eachImage(t, func(t *testing.T, dir string, m *Manifest) {
		data, err := os.ReadFile(filepath.Join(dir, "initrd.img"))
		if err != nil {
			t.Fatal(err)
		}
		if len(data) > 12<<20 {
			t.Errorf("%d bytes", len(data))
		}
		for _, name := range []string{"\x00init\x00", "\x00lib/modules/early/order\x00", "\x00lib/modules/early/erofs.ko\x00"} {
			// In the newc format a header's last field is eight digits of checksum; the name follows.
			if !bytes.Contains(data, []byte(strings.Replace(name, "\x00", "00000000", 1))) {
				t.Errorf("no %q", name)
			}
		}
	})
}

func checksum(t *testing.T, path string) (int64, string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		t.Fatal(err)
	}
	return n, hex.EncodeToString(h.Sum(nil))
}

// checkELF wants a program of the right architecture, and everything it is linked to in the image.
func checkELF(t *testing.T, root, name string, machine elf.Machine, static bool) {
	t.Helper()
	f, err := elf.Open(filepath.Join(root, name))
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	defer f.Close()
	if f.Machine != machine {
		t.Errorf("%s is for %v", name, f.Machine)
	}
	libs, err := f.ImportedLibraries()
	if err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if static && len(libs) > 0 {
		t.Errorf("%s is linked to %v", name, libs)
	}
	for _, lib := range libs {
		if found, _ := filepath.Glob(filepath.Join(root, "usr/lib*/*", lib)); len(found) == 0 {
			if found, _ = filepath.Glob(filepath.Join(root, "usr/lib*", lib)); len(found) == 0 {
				t.Errorf("%s needs %s, which is not in the image", name, lib)
			}
		}
	}
}

// checkModules wants each file of the order there, for the right architecture, and these among them.
func checkModules(t *testing.T, dir string, machine elf.Machine, want ...string) {
	t.Helper()
	order, err := os.ReadFile(filepath.Join(dir, "order"))
	if err != nil {
		t.Fatal(err)
	}
	names := strings.Fields(string(order))
	for _, name := range names {
		f, err := elf.Open(filepath.Join(dir, name))
		if err != nil || f.Machine != machine {
			t.Errorf("%s: not a module for %v: %v", name, machine, err)
			continue
		}
		f.Close()
	}
	for _, w := range want {
		if !strings.Contains(string(order), w+".ko\n") {
			t.Errorf("module %s is missing", w)
		}
	}
}
