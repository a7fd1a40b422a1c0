package logfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// record is an entry as Docker's readers and writers spell it; other writers may add fields or order them
// differently.
type record struct {
	Log    string            `json:"log"`
	Stream string            `json:"stream"`
	Time   time.Time         `json:"time"`
	Attrs  map[string]string `json:"attrs"`
}

var (
	recordHead   = []byte(`{"log":"`)
	recordStream = []byte(`","stream":"std`)
	recordAttrs  = []byte(`,"attrs":`)
	recordTime   = []byte(`,"time":"`)
	recordEnd    = []byte(`"}`)
)

// decoder reads records of both formats, and remembers what many of them share.
type decoder struct {
	attrs   bool   // wanted
	scratch []byte // the text that was decoded last

	date   [19]byte // the beginning of the last time
	second int64    // and when that is

	lastAttrs []byte // as they are in the file
	parsed    map[string]string
}

// decode reads one line of the file into e. Records as our own Writer lays them out take the quick way; any other JSON
// object takes encoding/json. e.Line is valid until the next call.
func (d *decoder) decode(e *Entry, line []byte) error {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	if len(line) > 0 && line[0] != '{' {
		if d.compact(e, line) {
			return nil
		}
		return errors.New("decode log entry: neither of the formats")
	}
	if d.own(e, line) {
		return nil
	}
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return fmt.Errorf("decode log entry: %w", err)
	}
	s, err := parseStream(r.Stream)
	if err != nil {
		return fmt.Errorf("decode log entry: %w", err)
	}
	d.scratch = append(d.scratch[:0], r.Log...)
	e.Stream, e.Time, e.Line, e.Attrs = s, r.Time.UTC(), d.scratch, r.Attrs
	return nil
}

func (d *decoder) compact(e *Entry, line []byte) bool {
	s, whole, when, rest, ok := compactStamp(line)
	i := bytes.IndexByte(rest, ' ')
	if !ok || i < 0 {
		return false
	}
	e.Stream, e.Time = s, when
	d.scratch = append(d.scratch[:0], rest[i+1:]...)
	if whole {
		d.scratch = append(d.scratch, '\n')
	}
	e.Line, e.Attrs = d.scratch, nil
	if d.attrs {
		e.Attrs = d.cached(rest[:i], func() map[string]string { return parseAttrs(string(rest[:i])) })
	}
	return true
}

// own reads a JSON record as our Writer and Docker's lay it out.
func (d *decoder) own(e *Entry, line []byte) bool {
	body, ok := bytes.CutPrefix(line, recordHead)
	if !ok {
		return false
	}
	end := quote(body)
	if end < 0 {
		return false
	}
	text, body := body[:end], body[end:]
	if body, ok = bytes.CutPrefix(body, recordStream); !ok || len(body) < 4 || body[3] != '"' {
		return false
	}
	switch string(body[:3]) {
	case "out":
		e.Stream = Stdout
	case "err":
		e.Stream = Stderr
	default:
		return false
	}
	attrs, stamp, ok := splitAttrs(body[4:])
	if !ok {
		return false
	}
	if e.Time, ok = d.time(stamp); !ok {
		return false
	}
	if e.Attrs = nil; d.attrs && len(attrs) > 0 {
		e.Attrs = d.cached(attrs, func() (m map[string]string) { _ = json.Unmarshal(attrs, &m); return m })
	}
	d.scratch, ok = unescape(d.scratch[:0], text)
	e.Line = d.scratch
	return ok
}

// quote is where the text ends: at the first quote that is not escaped.
func quote(p []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(p[from:], '"')
		if i < 0 {
			return -1
		}
		i += from
		escapes := 0
		for escapes < i && p[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
		from = i + 1
	}
}

// splitAttrs takes apart what follows the stream: attributes, if there are any, and the time, without its quotes.
func splitAttrs(p []byte) (attrs, stamp []byte, ok bool) {
	if rest, has := bytes.CutPrefix(p, recordAttrs); has {
		i := bytes.LastIndex(rest, recordTime)
		if i < 0 {
			return nil, nil, false
		}
		attrs, p = rest[:i], rest[i:]
	}
	stamp, ok = bytes.CutPrefix(p, recordTime)
	if !ok {
		return nil, nil, false
	}
	stamp, ok = bytes.CutSuffix(stamp, recordEnd)
	return attrs, stamp, ok
}

// time reads RFC 3339 in UTC. Records of one second share the work.
func (d *decoder) time(p []byte) (time.Time, bool) {
	n := len(d.date)
	if len(p) <= n || p[len(p)-1] != 'Z' {
		return d.slowTime(p)
	}
	if d.second == 0 || !bytes.Equal(p[:n], d.date[:]) {
		t, err := time.Parse("2006-01-02T15:04:05", string(p[:n]))
		if err != nil {
			return d.slowTime(p)
		}
		d.second = t.Unix()
		copy(d.date[:], p)
	}
	fraction := p[n : len(p)-1]
	if len(fraction) == 0 {
		return time.Unix(d.second, 0).UTC(), true
	}
	if fraction[0] != '.' || len(fraction) < 2 || len(fraction) > 10 {
		return d.slowTime(p)
	}
	var ns int64
	for i := 1; i <= 9; i++ {
		ns *= 10
		if i < len(fraction) {
			c := fraction[i]
			if c < '0' || c > '9' {
				return d.slowTime(p)
			}
			ns += int64(c - '0')
		}
	}
	return time.Unix(d.second, ns).UTC(), true
}

func (d *decoder) slowTime(p []byte) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339Nano, string(p))
	return t.UTC(), err == nil
}

// cached parses attributes only when they are not those of the record before.
func (d *decoder) cached(raw []byte, parse func() map[string]string) map[string]string {
	if !bytes.Equal(raw, d.lastAttrs) || d.parsed == nil {
		d.lastAttrs, d.parsed = append(d.lastAttrs[:0], raw...), parse()
	}
	return d.parsed
}

// unescape undoes appendText. It leaves \u escapes above 0x7f and anything odd to encoding/json.
func unescape(dst, p []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(p, '\\')
		if i < 0 {
			return append(dst, p...), true
		}
		if i+1 >= len(p) {
			return dst, false
		}
		dst = append(dst, p[:i]...)
		c := p[i+1]
		p = p[i+2:]
		switch c {
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case '"', '\\', '/':
			dst = append(dst, c)
		case 'u':
			b, ok := asciiEscape(p)
			if !ok {
				return dst, false
			}
			dst = append(dst, b)
			p = p[4:]
		default:
			return dst, false
		}
	}
}

func asciiEscape(p []byte) (byte, bool) {
	if len(p) < 4 || p[0] != '0' || p[1] != '0' || p[2] > '7' {
		return 0, false
	}
	hi, lo := bytes.IndexByte([]byte(hexDigits), p[2]), bytes.IndexByte([]byte(hexDigits), p[3])
	return byte(hi<<4 | lo), hi >= 0 && lo >= 0
}
