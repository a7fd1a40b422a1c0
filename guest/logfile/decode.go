package logfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// record is an entry as Docker's readers and writers spell it; other writers may add fields (attrs) or order them
// differently.
type record struct {
	Log    string    `json:"log"`
	Stream string    `json:"stream"`
	Time   time.Time `json:"time"`
}

var (
	recordHead   = []byte(`{"log":"`)
	recordStream = []byte(`","stream":"std`)
	recordTime   = []byte(`","time":"`)
	recordEnd    = []byte(`"}`)
)

// decode reads one line of the file into e, using scratch for the text. Records as our own Writer lays them out take
// the quick way; any other JSON object takes encoding/json.
func decode(e *Entry, line, scratch []byte) ([]byte, error) {
	if scratch, ok := decodeOwn(e, line, scratch); ok {
		return scratch, nil
	}
	var r record
	if err := json.Unmarshal(line, &r); err != nil {
		return scratch, fmt.Errorf("decode log entry: %w", err)
	}
	s, err := parseStream(r.Stream)
	if err != nil {
		return scratch, fmt.Errorf("decode log entry: %w", err)
	}
	scratch = append(scratch[:0], r.Log...)
	e.Stream, e.Time, e.Line = s, r.Time.UTC(), scratch
	return scratch, nil
}

// decodeOwn finds the fixed parts from the end, because the text may hold anything but an unescaped quote.
func decodeOwn(e *Entry, line, scratch []byte) ([]byte, bool) {
	line = bytes.TrimSuffix(line, []byte{'\n'})
	body, ok := bytes.CutPrefix(line, recordHead)
	if !ok || !bytes.HasSuffix(body, recordEnd) {
		return scratch, false
	}
	body = body[:len(body)-len(recordEnd)]
	i := bytes.LastIndex(body, recordTime)
	if i < 0 {
		return scratch, false
	}
	when, err := time.Parse(time.RFC3339Nano, string(body[i+len(recordTime):]))
	if err != nil {
		return scratch, false
	}
	body = body[:i]
	j := bytes.LastIndex(body, recordStream)
	if j < 0 {
		return scratch, false
	}
	switch string(body[j+len(recordStream):]) {
	case "out":
		e.Stream = Stdout
	case "err":
		e.Stream = Stderr
	default:
		return scratch, false
	}
	scratch, ok = unescape(scratch[:0], body[:j])
	e.Time, e.Line = when.UTC(), scratch
	return scratch, ok
}

// unescape undoes appendText. It leaves \u escapes above 0x7f and anything odd to encoding/json.
func unescape(dst, p []byte) ([]byte, bool) {
	for {
		i := bytes.IndexByte(p, '\\')
		if i < 0 {
			if bytes.IndexByte(p, '"') >= 0 {
				return dst, false
			}
			return append(dst, p...), true
		}
		if i+1 >= len(p) || bytes.IndexByte(p[:i], '"') >= 0 {
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
