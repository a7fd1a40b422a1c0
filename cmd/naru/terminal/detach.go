package terminal

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// DefaultDetachKeys lets go of a container and leaves it running.
const DefaultDetachKeys = "ctrl-p,ctrl-q"

// ErrDetached says that the user pressed the detach keys.
var ErrDetached = errors.New("detached")

// ParseKeys reads a sequence of keys: single characters, ctrl-a to ctrl-z, ctrl-@ [ \ ] ^ _, separated by commas.
func ParseKeys(s string) ([]byte, error) {
	var keys []byte
	for _, name := range strings.Split(s, ",") {
		key, err := parseKey(name)
		if err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseKey(name string) (byte, error) {
	rest, isCtrl := strings.CutPrefix(name, "ctrl-")
	switch {
	case !isCtrl && len(name) == 1:
		return name[0], nil
	case isCtrl && len(rest) == 1 && rest[0] >= 'a' && rest[0] <= 'z':
		return rest[0] - 'a' + 1, nil
	case isCtrl && rest == "@":
		return 0, nil
	case isCtrl && len(rest) == 1 && strings.Contains(`[\]^_`, rest):
		return rest[0] - '@', nil
	}
	return 0, fmt.Errorf("invalid detach keys: unknown key %q", name)
}

// DetachReader passes bytes on until it sees the keys; then Read returns ErrDetached. What looks like the beginning
// of the sequence is held back until the next key tells.
type DetachReader struct {
	in      io.Reader
	keys    []byte
	matched int    // how many of keys were seen and are held back
	out     []byte // to be returned before more is read
	err     error
}

// NewDetachReader reads from in. Without keys it only passes on.
func NewDetachReader(in io.Reader, keys []byte) *DetachReader {
	return &DetachReader{in: in, keys: keys}
}

func (r *DetachReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		var buf [4096]byte
		n, err := r.in.Read(buf[:])
		r.take(buf[:n])
		if r.err == nil && err != nil {
			r.out = append(r.out, r.keys[:r.matched]...)
			r.err = err
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

func (r *DetachReader) take(in []byte) {
	r.out = r.out[:0]
	for _, b := range in {
		if len(r.keys) == 0 {
			r.out = append(r.out, b)
			continue
		}
		// Drop what cannot be the beginning any more: the longest end of what was seen that still can stays.
		for r.matched > 0 && b != r.keys[r.matched] {
			shorter := border(r.keys[:r.matched])
			r.out = append(r.out, r.keys[:r.matched-shorter]...)
			r.matched = shorter
		}
		if b != r.keys[r.matched] {
			r.out = append(r.out, b)
			continue
		}
		if r.matched++; r.matched == len(r.keys) {
			r.err = ErrDetached
			return
		}
	}
}

// border is the length of the longest proper prefix of s that is also its end.
func border(s []byte) int {
	for n := len(s) - 1; n > 0; n-- {
		if string(s[:n]) == string(s[len(s)-n:]) {
			return n
		}
	}
	return 0
}
