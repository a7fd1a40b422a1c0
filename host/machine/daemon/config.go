package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/kdomanski/iso9660"

	"naru/guest/api"
	"naru/host/network"
)

// hostname is the guest's own; containers have theirs.
const hostname = "naru"

// config is the document on the config drive.
func (d *Daemon) config(shares []share) *api.Config {
	c := &api.Config{
		Version: api.Version, Hostname: hostname, Token: d.token, Time: time.Now(),
		Socket: d.o.Home.MachineSocket(), Sockets: d.settings.Sockets, Engine: d.settings.Engine,
		Proxy: hostProxies(), CAs: d.hostCAs(),
		Network: api.Network{
			Address: network.Guest.String(), Gateway: network.Gateway.String(),
			Address6: network.Guest6.String(), Gateway6: network.Gateway6.String(),
			DNS: []string{network.Gateway.String()}, MTU: network.MTU,
		},
	}
	for _, s := range shares {
		c.Shares = append(c.Shares, s.guest)
	}
	return c
}

// writeConfigDrive makes the ISO 9660 image with the document. It holds the boot token, so only its owner reads it.
func writeConfigDrive(path string, c *api.Config) (err error) {
	doc, err := json.Marshal(c)
	if err != nil {
		return err
	}
	w, err := iso9660.NewWriter()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Cleanup()) }()
	if err := w.AddFile(bytes.NewReader(doc), api.ConfigFile); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(w.WriteTo(f, api.ConfigLabel), f.Close())
}

// makeDataDisk makes the data disk, or lets it grow. It is sparse: it takes of the host what is in it.
func makeDataDisk(path string, size uint64) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a file", path)
	}
	if info.Size() >= int64(size) {
		return nil // one that is larger stays so: to cut it would cut the file system in it
	}
	return f.Truncate(int64(size))
}

// lastLine is what a console says at its end, for an error message: why the kernel panicked, or else its last line.
func lastLine(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := bytes.FieldsFunc(data, func(r rune) bool { return r == '\n' || r == '\r' })
	if i := slices.IndexFunc(lines, func(l []byte) bool { return bytes.Contains(l, []byte("Kernel panic")) }); i >= 0 {
		lines = lines[:i+1]
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if line := bytes.TrimSpace(lines[i]); len(line) > 0 {
			return string(line[:min(len(line), 200)])
		}
	}
	return ""
}
