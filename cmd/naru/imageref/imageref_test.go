package imageref

import (
	"testing"

	"github.com/distribution/reference"
)

// TestAgainstTheLibrary compares with the library that the engine uses.
func TestAgainstTheLibrary(t *testing.T) {
	digest := "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	for _, s := range []string{
		"nginx", "nginx:1.2", "nginx@" + digest, "nginx:1@" + digest, "a/b", "docker.io/nginx", "docker.io/a/b:c", "localhost/x",
		"localhost:5000/x:y", "127.0.0.1:5000/a/b", "ghcr.io/a/b-c_d.e", "[::1]:5000/x", "index.docker.io/nginx", "Foo", "a/Foo",
		"nginx:", ":x", "", "a//b", "-a", "a:b c", "a@sha256:12", "Registry/x", "a__b", "nginx:-x", "a/", "x:Y_z.1-2",
	} {
		want, wantErr := reference.ParseNormalizedNamed(s)
		got, err := Parse(s)
		if (err != nil) != (wantErr != nil) {
			t.Errorf("%q: %v, the library says %v", s, err, wantErr)
			continue
		}
		if err != nil {
			continue
		}
		if got.String() != want.String() || got.FamiliarString() != reference.FamiliarString(want) {
			t.Errorf("%q: %s and %s, the library says %s and %s", s, got, got.FamiliarString(), want, reference.FamiliarString(want))
		}
		if got, want := got.WithTag().String(), reference.TagNameOnly(want).String(); got != want {
			t.Errorf("%q with a tag: %s, the library says %s", s, got, want)
		}
	}
}
