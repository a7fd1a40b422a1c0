package image

import (
	"bytes"
	"testing"
)

// BenchmarkStart is the image part of a container's start: resolve and layers, from memory.
func BenchmarkStart(b *testing.B) {
	s := benchStore(b, b.TempDir())
	defer s.Close()
	img, err := s.Import(b.Context(), bytes.NewReader(make([]byte, 1024)), ImportOptions{Ref: "x"})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Resolve(b.Context(), "x"); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Layers(b.Context(), img.ID); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen is the image part of the engine's start.
func BenchmarkOpen(b *testing.B) {
	root := b.TempDir()
	for b.Loop() {
		s := benchStore(b, root)
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func benchStore(b *testing.B, root string) *Store {
	s, err := Open(b.Context(), Options{Root: root})
	if err != nil {
		b.Fatal(err)
	}
	return s
}
