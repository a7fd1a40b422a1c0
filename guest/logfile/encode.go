package logfile

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plain marks the bytes that need no escape. Docker's encoder also escapes <, > and &; so does ours, that a diff
// between the two shows nothing.
var plain = func() (t [256]bool) {
	for c := 0x20; c < utf8.RuneSelf; c++ {
		t[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return t
}()

// encoder makes records. What is the same in all of them is made once.
type encoder struct {
	compact bool
	attrs   []byte    // compact: "k=v,…"
	middle  [2][]byte // JSON: what is between a record's text and its time
	// second and date: the records of one second share all of their time but its fraction.
	second int64
	date   []byte
}

func newEncoder(c Config) *encoder {
	e := &encoder{compact: c.Compact}
	if c.Compact {
		e.attrs = compactAttrs(c.Attrs)
		return e
	}
	for s := range e.middle {
		m := append([]byte(`","stream":"`), Stream(s).String()...)
		m = append(m, '"')
		if len(c.Attrs) > 0 {
			attrs, _ := json.Marshal(c.Attrs) // strings always can be
			m = append(append(m, `,"attrs":`...), attrs...)
		}
		e.middle[s] = append(m, `,"time":"`...)
	}
	return e
}

// append appends one whole record.
func (e *encoder) append(dst []byte, s Stream, when time.Time, line []byte) []byte {
	if e.compact {
		return e.appendCompact(dst, s, when, line)
	}
	dst = append(dst, recordHead...)
	dst = appendText(dst, line)
	dst = append(dst, e.middle[s]...)
	dst = e.appendTime(dst, when)
	return append(dst, '"', '}', '\n')
}

// appendTime is RFC 3339 with as many digits as are needed, as in Docker.
func (e *encoder) appendTime(dst []byte, t time.Time) []byte {
	if sec := t.Unix(); e.second != sec || e.date == nil {
		e.second, e.date = sec, t.UTC().AppendFormat(e.date[:0], "2006-01-02T15:04:05")
	}
	dst = append(dst, e.date...)
	if n := t.Nanosecond(); n > 0 {
		var digits [9]byte
		for i := len(digits) - 1; i >= 0; i-- {
			digits[i] = byte('0' + n%10)
			n /= 10
		}
		end := len(digits)
		for digits[end-1] == '0' {
			end--
		}
		dst = append(append(dst, '.'), digits[:end]...)
	}
	return append(dst, 'Z')
}

// appendText appends p as the inside of a JSON string. Bytes that are not UTF-8 become U+FFFD, as in Docker.
func appendText(dst, p []byte) []byte {
	start := 0
	for i := 0; i < len(p); {
		c := p[i]
		if plain[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(p[i:])
			if size > 1 && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
			dst = append(dst, p[start:i]...)
			if size == 1 {
				dst = append(dst, `\ufffd`...)
			} else {
				dst = append(dst, `\u202`...)
				dst = append(dst, hexDigits[r&0xf])
			}
			i += size
			start = i
			continue
		}
		dst = append(dst, p[start:i]...)
		dst = appendEscape(dst, c)
		i++
		start = i
	}
	return append(dst, p[start:]...)
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// cut is where to split a text that is longer than MaxLine: at MaxLine, or up to three bytes before so that no
// UTF-8 sequence is torn in two and lost.
func cut(p []byte) int {
	for n := MaxLine; n > MaxLine-utf8.UTFMax; n-- {
		if utf8.RuneStart(p[n]) {
			return n
		}
	}
	return MaxLine
}

// Attributes are spelled as `docker logs --details` prints them.
func compactAttrs(attrs map[string]string) []byte { return []byte(AttrsText(attrs)) }

// sortedKeys are in the order in which Docker prints attributes.
func sortedKeys(attrs map[string]string) []string {
	keys := make([]string, 0, len(attrs))
	for k := range attrs {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
