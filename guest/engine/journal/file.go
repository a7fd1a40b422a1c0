package journal

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

const headerSize = 8

// maxRecord bounds a payload in bytes, so that a torn length does not make Open ask for 4 GiB.
const maxRecord = 64 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is the payload.
type record struct {
	Kind    string          `json:"k"`
	ID      string          `json:"i"`
	Value   json.RawMessage `json:"v,omitempty"`
	Deleted bool            `json:"d,omitempty"`
}

func (r record) encode() ([]byte, error) {
	payload, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(payload) > maxRecord {
		return nil, fmt.Errorf("record of %d bytes is too large", len(payload))
	}
	data := make([]byte, headerSize, headerSize+len(payload))
	binary.LittleEndian.PutUint32(data[0:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(data[4:], crc32.Checksum(payload, castagnoli))
	return append(data, payload...), nil
}

// errTorn says that the rest of the file is not a record.
var errTorn = errors.New("torn record")

// readRecord returns the next record and its size in the file, io.EOF at a clean end, errTorn at any other.
func readRecord(r io.Reader) (record, int64, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(r, header[:]); err == io.EOF {
		return record{}, 0, io.EOF
	} else if err != nil {
		return record{}, 0, torn(err)
	}
	length := binary.LittleEndian.Uint32(header[0:])
	if length == 0 || length > maxRecord {
		return record{}, 0, errTorn
	}
	payload := make([]byte, length)
	if _, err := io.ReadFull(r, payload); err != nil {
		return record{}, 0, torn(err)
	}
	if crc32.Checksum(payload, castagnoli) != binary.LittleEndian.Uint32(header[4:]) {
		return record{}, 0, errTorn
	}
	var rec record
	if err := json.Unmarshal(payload, &rec); err != nil {
		return record{}, 0, fmt.Errorf("record with a right checksum does not decode: %w", err)
	}
	return rec, headerSize + int64(length), nil
}

// torn tells a short file from one that cannot be read: only the first may be cut.
func torn(err error) error {
	if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		return errTorn
	}
	return err
}

// load reads the file into the map and cuts a torn tail off.
func (j *Journal) load() error {
	r := bufio.NewReaderSize(j.file, 256<<10)
	for {
		rec, size, err := readRecord(r)
		if err == io.EOF {
			return nil
		}
		if err == errTorn {
			return j.cutTail()
		}
		if err != nil {
			return err
		}
		j.size += size
		j.apply(rec, size)
	}
}

func (j *Journal) cutTail() error {
	info, err := j.file.Stat()
	if err != nil {
		return err
	}
	j.log.Warn("journal has a torn tail, cutting it off", "path", j.path, "at", j.size, "bytes", info.Size()-j.size)
	if err := j.file.Truncate(j.size); err != nil {
		return fmt.Errorf("cut torn tail: %w", err)
	}
	return j.file.Sync()
}

// compact rewrites the file with the live records only. mu is held and no sync is under way.
func (j *Journal) compact() error {
	tmp := j.path + ".new"
	_ = os.Remove(tmp) // left by a process that died here
	file, err := openLocked(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	entries, size, err := j.copyLive(file)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(tmp, j.path)
	}
	if err != nil {
		file.Close()
		_ = os.Remove(tmp)
		return err
	}
	old := j.file
	j.file, j.entries, j.size, j.room, j.live = file, entries, size, size, size
	old.Close()
	if err := syncDir(filepath.Dir(j.path)); err != nil {
		j.broken = fmt.Errorf("sync journal's folder: %w", err) // a power cut could bring the old file back
		return err
	}
	j.synced = j.written
	return nil
}

func (j *Journal) copyLive(file *os.File) (map[key]entry, int64, error) {
	entries := make(map[key]entry, len(j.entries))
	var size int64
	w := bufio.NewWriterSize(file, 256<<10)
	for k, e := range j.entries {
		data, err := record{Kind: k.kind, ID: k.id, Value: e.raw}.encode()
		if err != nil {
			return nil, 0, err
		}
		if _, err := w.Write(data); err != nil {
			return nil, 0, err
		}
		entries[k] = entry{e.raw, int64(len(data))}
		size += int64(len(data))
	}
	return entries, size, w.Flush()
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
