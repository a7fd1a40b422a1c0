package container

import (
	"bytes"
	"errors"
	"io"
	"strings"
)

// errDetached ends a client's input: it typed the detach keys.
var errDetached = errors.New("detached")

// detachKeys reads Docker's notation, "ctrl-p,ctrl-q"; "" is that default.
func detachKeys(s string) ([]byte, error) {
	if s == "" {
		return []byte{16, 17}, nil
	}
	var keys []byte
	for _, k := range strings.Split(s, ",") {
		ctrl, isCtrl := strings.CutPrefix(k, "ctrl-")
		switch {
		case !isCtrl && len(k) == 1:
			keys = append(keys, k[0])
		case isCtrl && len(ctrl) == 1 && strings.Contains("abcdefghijklmnopqrstuvwxyz", ctrl):
			keys = append(keys, ctrl[0]-'a'+1)
		case isCtrl && len(ctrl) == 1 && strings.Contains(`@[\]^_`, ctrl):
			keys = append(keys, ctrl[0]-'@')
		case k == "DEL":
			keys = append(keys, 127)
		default:
			return nil, invalid("unknown character: %s", k)
		}
	}
	return keys, nil
}

// detacher passes input on until the keys appear in a row. It holds back what may be their beginning.
type detacher struct {
	r    io.Reader
	keys []byte
	seen int    // how many of keys were typed last
	out  []byte // to be delivered
	err  error
}

func (d *detacher) Read(p []byte) (int, error) {
	for len(d.out) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		buf := make([]byte, max(len(p), 1))
		n, err := d.r.Read(buf)
		d.scan(buf[:n])
		if err != nil && d.err == nil {
			d.out = append(d.out, d.keys[:d.seen]...)
			d.seen, d.err = 0, err
		}
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

func (d *detacher) scan(in []byte) {
	for _, b := range in {
		switch {
		case b == d.keys[d.seen]:
			if d.seen++; d.seen == len(d.keys) {
				d.err = errDetached
				return
			}
		case d.seen > 0:
			d.out = append(append(d.out, d.keys[:d.seen]...), b)
			d.seen = 0
			if bytes.HasPrefix(d.keys, []byte{b}) {
				d.out = d.out[:len(d.out)-1]
				d.seen = 1
			}
		default:
			d.out = append(d.out, b)
		}
	}
}
