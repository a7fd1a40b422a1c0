package runflags

import (
	"fmt"
	"path/filepath"
	"strings"
)

// splitVolumes sorts the values of -v: binds with a source (a path or a volume's name), and the container paths of
// anonymous volumes.
func splitVolumes(values []string) (binds []string, anonymous map[string]struct{}, err error) {
	for _, value := range values {
		source, rest, hasSource := cutSource(value)
		switch {
		case hasSource && source == "" || value == "":
			return nil, nil, fmt.Errorf("invalid volume specification: '%s'", value)
		case !hasSource:
			if anonymous == nil {
				anonymous = map[string]struct{}{}
			}
			anonymous[value] = struct{}{}
			continue
		case isRelative(source):
			if source, err = filepath.Abs(source); err != nil {
				return nil, nil, err
			}
		}
		binds = append(binds, source+":"+rest)
	}
	return binds, anonymous, nil
}

// cutSource cuts at the first colon that is not behind a drive letter.
func cutSource(value string) (source, rest string, ok bool) {
	from := 0
	if len(value) > 2 && value[1] == ':' && (value[2] == '\\' || value[2] == '/') && isLetter(value[0]) {
		// C:\x:/y on Windows, but a volume with the name of one letter elsewhere: c:/y.
		if filepath.Separator == '\\' || value[2] == '\\' {
			from = 2
		}
	}
	i := strings.IndexByte(value[from:], ':')
	if i < 0 {
		return "", value, false
	}
	return value[:from+i], value[from+i+1:], true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
