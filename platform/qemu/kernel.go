package qemu

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// unpackKernel writes the kernel inside a bzImage to dst. A translated guest takes more than a second to unpack it,
// the host a tenth of that; QEMU then enters it directly, as Xen does (PVH). See Linux' Documentation/arch/x86/boot.rst.
func unpackKernel(src, dst string) error {
	image, err := os.ReadFile(src)
	if err != nil {
		return err
	}
	packed, err := payload(image)
	if err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderMaxMemory(maxKernel))
	if err != nil {
		return err
	}
	defer d.Close()
	kernel, err := io.ReadAll(io.LimitReader(d, maxKernel))
	if err != nil {
		return fmt.Errorf("unpack %s: %w", src, err)
	}
	if err := checkPVH(kernel); err != nil {
		return fmt.Errorf("%s: %w", src, err)
	}
	return os.WriteFile(dst, kernel, 0o600)
}

// maxKernel bounds an unpacked kernel, in bytes.
const maxKernel = 256 << 20

// payload finds the packed kernel by the setup header of a bzImage.
func payload(image []byte) ([]byte, error) {
	const setupSects, magic, version, offset, length = 0x1f1, 0x202, 0x206, 0x248, 0x24c
	if len(image) < 0x250 || string(image[magic:magic+4]) != "HdrS" || binary.LittleEndian.Uint16(image[version:]) < 0x208 {
		return nil, errors.New("not a bzImage")
	}
	sects := int64(image[setupSects])
	if sects == 0 {
		sects = 4
	}
	start := (sects+1)*512 + int64(binary.LittleEndian.Uint32(image[offset:]))
	end := start + int64(binary.LittleEndian.Uint32(image[length:]))
	if end > int64(len(image)) {
		return nil, errors.New("the bzImage is cut short")
	}
	packed := image[start:end]
	if !bytes.HasPrefix(packed, []byte{0x28, 0xb5, 0x2f, 0xfd}) {
		return nil, errors.New("the kernel is not packed with zstd")
	}
	// The kernel's unpacked length follows the frame as 32 bits; the decoder would take it for another one.
	return packed[:len(packed)-4], nil
}

// checkPVH looks for the note by which a kernel says where PVH enters it.
func checkPVH(kernel []byte) error {
	const entryNote = 18 // XEN_ELFNOTE_PHYS32_ENTRY
	f, err := elf.NewFile(bytes.NewReader(kernel))
	if err != nil {
		return err
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(io.LimitReader(p.Open(), 1<<16))
		if err != nil {
			return err
		}
		for len(notes) >= 12 {
			name, desc := binary.LittleEndian.Uint32(notes), binary.LittleEndian.Uint32(notes[4:])
			kind := binary.LittleEndian.Uint32(notes[8:])
			end := 12 + int64(name+3)&^3 + int64(desc+3)&^3
			if end > int64(len(notes)) {
				break
			}
			if kind == entryNote && bytes.HasPrefix(notes[12:], []byte("Xen\x00")) {
				return nil
			}
			notes = notes[end:]
		}
	}
	return errors.New("the kernel has no PVH entry")
}
