package logfile

import (
	"net/url"
	"strings"
	"time"
)

// The compact format needs no escapes: a text has no newline but its last, and that is the record's. So it keeps
// every byte, where JSON can keep only UTF-8, and costs a fifth of the time to write and to read.

// stampLen is the stream and the time at the head of a record.
const stampLen = 1 + 16

func (e *encoder) appendCompact(dst []byte, s Stream, when time.Time, line []byte) []byte {
	flag := [2]byte{'o', 'e'}[s]
	whole := len(line) > 0 && line[len(line)-1] == '\n'
	if !whole {
		flag -= 'a' - 'A'
	}
	dst = append(dst, flag)
	for ns, shift := uint64(when.UnixNano()), 60; shift >= 0; shift -= 4 {
		dst = append(dst, hexDigits[ns>>shift&0xf])
	}
	dst = append(dst, ' ')
	dst = append(dst, e.attrs...)
	dst = append(dst, ' ')
	dst = append(dst, line...)
	if !whole {
		dst = append(dst, '\n')
	}
	return dst
}

// compactStamp reads the head of a record.
func compactStamp(line []byte) (s Stream, whole bool, when time.Time, rest []byte, ok bool) {
	if len(line) < stampLen+2 || line[stampLen] != ' ' {
		return
	}
	switch line[0] {
	case 'o', 'O':
		s = Stdout
	case 'e', 'E':
		s = Stderr
	default:
		return
	}
	var ns uint64
	for _, c := range line[1:stampLen] {
		switch {
		case c >= '0' && c <= '9':
			ns = ns<<4 | uint64(c-'0')
		case c >= 'a' && c <= 'f':
			ns = ns<<4 | uint64(c-'a'+10)
		default:
			return
		}
	}
	return s, line[0] >= 'a', time.Unix(0, int64(ns)).UTC(), line[stampLen+1:], true
}

// AttrsText is how Docker prints attributes before a line: sorted, and escaped as in a URL's query.
func AttrsText(attrs map[string]string) string {
	var b strings.Builder
	for i, k := range sortedKeys(attrs) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(url.QueryEscape(k) + "=" + url.QueryEscape(attrs[k]))
	}
	return b.String()
}

func parseAttrs(text string) map[string]string {
	if text == "" {
		return nil
	}
	attrs := map[string]string{}
	for _, pair := range strings.Split(text, ",") {
		k, v, _ := strings.Cut(pair, "=")
		k, kErr := url.QueryUnescape(k)
		v, vErr := url.QueryUnescape(v)
		if kErr == nil && vErr == nil {
			attrs[k] = v
		}
	}
	return attrs
}
