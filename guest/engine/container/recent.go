package container

import (
	"sync"
	"time"

	"github.com/moby/moby/api/types/container"
)

// Clients such as dockerode start a container and wait for it then. With AutoRemove it may be gone by that time, which
// takes Docker long enough to hardly ever happen: so who waits late still hears how it ended.
const (
	recentTime = 10 * time.Second
	recentMost = 256
)

// recentEnds are the ends of containers that were removed by their end. The zero value is ready.
type recentEnds struct {
	mu   sync.Mutex // guards list
	list []recentEnd
}

type recentEnd struct {
	id     string
	at     time.Time
	result container.WaitResponse
}

func (r *recentEnds) add(id string, at time.Time, result container.WaitResponse) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.list) == recentMost {
		r.list = append(r.list[:0], r.list[1:]...)
	}
	r.list = append(r.list, recentEnd{id, at, result})
}

// find is for a whole ID only: a name may be another container's by now.
func (r *recentEnds) find(id string, now time.Time) (container.WaitResponse, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.list) > 0 && now.Sub(r.list[0].at) > recentTime {
		r.list = r.list[1:]
	}
	for _, e := range r.list {
		if e.id == id {
			return e.result, true
		}
	}
	return container.WaitResponse{}, false
}
