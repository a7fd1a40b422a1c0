package logfile

import (
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

// entryTail is what follows the text of each entry of one stream at one time.
func entryTail(dst []byte, s Stream, now time.Time) []byte {
	dst = append(dst, `","stream":"`...)
	dst = append(dst, s.String()...)
	dst = append(dst, `","time":"`...)
	dst = now.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"', '}', '\n')
}

// appendEntry appends one whole record. tail comes from entryTail: lines that arrived together share it.
func appendEntry(dst, line, tail []byte) []byte {
	dst = append(dst, `{"log":"`...)
	dst = appendText(dst, line)
	return append(dst, tail...)
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
	case '\t':
		return append(dst, '\\', 't')
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
