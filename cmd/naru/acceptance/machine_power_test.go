package acceptance

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMachinePowerCut records every write of the VM's data disk by QEMU's blklogwrites, and makes the disks that a power cut
// could have left: at any moment all that was flushed is there, and of what came after the last flush some is lost. On each the
// file system is whole once its journal was replayed, and the engine's journal holds what had been acknowledged. The disks
// are looked at here, not by booting them. NARU_TEST_ROUNDS is how many (by hand 200).
func TestMachinePowerCut(t *testing.T) {
	rounds, seed := numberFrom("NARU_TEST_ROUNDS", 8), uint64(numberFrom("NARU_TEST_SEED", 20261125))
	for _, tool := range []string{"/usr/sbin/e2fsck", "/usr/sbin/debugfs"} {
		if _, err := os.Stat(tool); err != nil {
			t.Skipf("%s is missing; run `apt-get install e2fsprogs`", tool)
		}
	}
	w := newMachine(t)
	dir := t.TempDir()
	log := filepath.Join(dir, "writes")
	logWrites(t, w, dir, log)
	w.sh(t, "naru machine set --disk 2g && naru run --rm hello")
	size := func() int64 {
		info, err := os.Stat(log)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	type ack struct {
		at   int64 // the log's length when the client had its answer
		name string
	}
	var acks []ack
	first := size()
	for i := range 30 {
		name := fmt.Sprintf("acked-%d", i)
		w.sh(t, "naru volume create "+name)
		acks = append(acks, ack{size(), name})
		if i%5 == 0 { // and other writes between
			w.sh(t, fmt.Sprintf("naru run --name c%d -v %s:/v hello", i, name))
		}
	}
	last := size()
	w.sh(t, "naru machine stop --kill")

	random := rand.New(rand.NewPCG(seed, 0))
	entries := readWrites(t, log)
	started := time.Now()
	lost := 0
	for round := range rounds {
		cut := first + random.Int64N(last-first+1)
		image := filepath.Join(dir, "cut.img")
		dropped, err := powerCut(log, entries, cut, image, random)
		if err != nil {
			t.Fatal(err)
		}
		lost += dropped
		checkDisk(t, image)
		journal := engineJournal(t, image)
		for _, a := range acks {
			if a.at <= cut && !strings.Contains(journal, `"`+a.name+`"`) {
				t.Errorf("%s was acknowledged at %d and is not on the disk of the cut at %d", a.name, a.at, cut)
			}
		}
		if t.Failed() {
			t.Fatalf("round %d of seed %d", round, seed)
		}
		_ = os.Remove(image)
	}
	t.Logf("%d disks of %d writes (%d MiB), %d writes lost, checked in %v", rounds, len(entries), last>>20, lost, time.Since(started).Round(time.Second))
}

// logWrites has the world's QEMU record what is written to the data disk.
func logWrites(t *testing.T, w *world, dir, log string) {
	t.Helper()
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Skip("qemu-system-x86_64 is missing; run `apt-get install qemu-system-x86`")
	}
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wrapper := filepath.Join(dir, "qemu")
	script := `#!/bin/bash
args=()
for a in "$@"; do
	case $a in
	'{'*data.img*)
		inner=${a/'"node-name":"disk1",'/}
		a='{"driver":"blklogwrites","node-name":"disk1","log-sector-size":512,"file":'$inner',"log":{"driver":"file","filename":"` + log + `"}}' ;;
	esac
	args+=("$a")
done
exec ` + qemu + ` "${args[@]}"
`
	if err := os.WriteFile(wrapper, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "NARU_QEMU="+wrapper)
}

// diskWrite is one entry of the log; all numbers are bytes. See QEMU's block/blklogwrites.c and Linux'
// Documentation/admin-guide/device-mapper/log-writes.rst.
type diskWrite struct {
	end          int64 // of the entry in the log
	data         int64 // where its data is in the log
	at, length   int64 // on the disk
	flush, trims bool
}

const logSector = 512

func readWrites(t *testing.T, log string) (entries []diskWrite) {
	t.Helper()
	f, err := os.Open(log)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const magic, flagFlush, flagDiscard = 0x6a736677736872, 1, 4
	head := make([]byte, logSector)
	if _, err := f.ReadAt(head, 0); err != nil || binary.LittleEndian.Uint64(head) != magic {
		t.Fatalf("not a log of writes: %v, %x", err, head[:28])
	}
	for at := int64(logSector); ; {
		if _, err := f.ReadAt(head, at); errors.Is(err, io.EOF) {
			return entries
		} else if err != nil {
			t.Fatal(err)
		}
		field := func(i int) int64 { return int64(binary.LittleEndian.Uint64(head[8*i:])) }
		e := diskWrite{data: at + logSector, at: field(0) * logSector, length: field(1) * logSector}
		e.flush, e.trims = field(2)&flagFlush != 0, field(2)&flagDiscard != 0
		e.end = e.data
		if !e.trims {
			e.end += e.length
		}
		at = e.end
		entries = append(entries, e)
	}
}

// powerCut makes the disk of a power cut when the log was cut bytes long. Each write after the last flush is there, is
// lost, or is there in part; none comes before a flush that it came after.
func powerCut(log string, entries []diskWrite, cut int64, path string, random *rand.Rand) (dropped int, err error) {
	in, err := os.Open(log)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	out, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := out.Truncate(2 << 30); err != nil {
		return 0, err
	}
	flushed := -1
	n := 0
	for ; n < len(entries) && entries[n].end <= cut; n++ {
		if entries[n].flush {
			flushed = n
		}
	}
	for i, e := range entries[:n] {
		length := e.length
		if i > flushed && !e.flush {
			switch random.IntN(3) {
			case 0:
				length = 0
			case 1:
				length = random.Int64N(e.length/logSector+1) * logSector
			}
			if length < e.length {
				dropped++
			}
		}
		if length == 0 || e.trims {
			continue // what is trimmed may read as before
		}
		if _, err := io.Copy(io.NewOffsetWriter(out, e.at), io.NewSectionReader(in, e.data, length)); err != nil {
			return 0, err
		}
	}
	return dropped, nil
}

// checkDisk replays the file system's journal, as a mount does, and wants nothing else to be mended.
func checkDisk(t *testing.T, image string) {
	t.Helper()
	out, err := exec.Command("/usr/sbin/e2fsck", "-f", "-p", image).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() > 1) {
		t.Errorf("e2fsck -p: %v: %s", err, out)
		return
	}
	if out, err := exec.Command("/usr/sbin/e2fsck", "-f", "-n", image).CombinedOutput(); err != nil {
		t.Errorf("e2fsck -n after the journal was replayed: %v: %s", err, out)
	}
}

func engineJournal(t *testing.T, image string) string {
	t.Helper()
	out, err := exec.Command("/usr/sbin/debugfs", "-R", "cat /state.journal", image).Output()
	if err != nil {
		t.Fatalf("debugfs: %v", err)
	}
	return string(out)
}
