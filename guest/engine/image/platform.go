package image

import (
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// provides refuses an image that is of another platform than the one asked for; nil asks for none. There is one platform of each
// image here.
func provides(ref string, img *Image, wish *ocispec.Platform) error {
	if wish == nil || matcher(wish).Match(img.Platform) {
		return nil
	}
	if named, err := reference.ParseNormalizedNamed(ref); err == nil && !idPattern.MatchString(ref) {
		ref = reference.FamiliarString(reference.TagNameOnly(named))
	}
	return errdefs.ErrNotFound.WithMessage(fmt.Sprintf(
		"image with reference %s was found but does not provide the specified platform (%s)", ref, platforms.FormatAll(*wish)))
}
