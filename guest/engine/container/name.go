package container

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"regexp"
	"strings"

	"github.com/containerd/errdefs"
)

// validName is Docker's: at least two characters.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

func checkName(name string) (string, error) {
	bare := strings.TrimPrefix(name, "/")
	if !validName.MatchString(bare) {
		return "", errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(
			"Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name))
	}
	return bare, nil
}

// newID returns 64 hex digits whose first twelve are not all decimal: a host name must not look like a number.
func newID() string {
	for {
		var b [32]byte
		rand.Read(b[:]) // never fails
		if id := hex.EncodeToString(b[:]); strings.Trim(id[:12], "0123456789") != "" {
			return id
		}
	}
}

// reserveAny takes a name that is free, adjective_surname, for id.
func (m *Manager) reserveAny(id string) string {
	for try := 0; ; try++ {
		name := adjectives[mathrand.IntN(len(adjectives))] + "_" + surnames[mathrand.IntN(len(surnames))]
		if try > 5 {
			name += fmt.Sprint(mathrand.IntN(10 * try))
		}
		if m.reserve(name, id) == nil {
			return name
		}
	}
}

var adjectives = strings.Fields(`able agile airy alert amber ample apt ardent avid balmy blithe bold brave breezy bright
brisk calm candid cheery civil clever cosy crisp curious daring deft dewy eager earnest easy elated epic fair fearless
festive fleet fond frank free fresh gallant genial gentle glad golden graceful grand hardy hearty honest hopeful humble
jolly jovial keen kind lively loyal lucid lucky mellow merry mild mindful modest neat nimble noble patient placid plucky
polite proud quick quiet ready robust serene sharp silent silver smart snug sober spry steady sunny swift tender tidy
tranquil trusty upbeat valiant vivid warm wise witty young zesty`)

// surnames are of people who found or built things.
var surnames = strings.Fields(`abel aryabhata archimedes avicenna babbage banach bardeen bell bernoulli bohr boole bose
brahe cantor carson cauchy celsius cerf chandrasekhar clarke cori curie darwin descartes dijkstra dirac dyson edison
einstein elion euclid euler faraday fermat fermi feynman fibonacci franklin galileo galois gauss germain goodall goedel
hamilton hawking heisenberg hertz hilbert hodgkin hooke hopper hubble hypatia jang joliot kalam kepler khayyam knuth
kovalevskaya lagrange lamarr laplace leavitt leibniz liskov lovelace maxwell mccarthy meitner mendel mendeleev mirzakhani
napier nash newton nightingale nobel noether ohm pascal pasteur pauli perlman planck poincare ptolemy raman ramanujan
riemann ride ritchie rubin rutherford sagan salk shannon snyder tesla thompson torvalds turing volta wilson wing wright
wu yalow yonath zhukovsky`)
