package appserver

import "sync"

// maxInbox bounds what waits for one thread's reader, in bytes. A reader that
// falls so far behind has a client that stopped reading: 32 MiB is more than any
// answer.
const maxInbox = 32 << 20

// Inbox holds the events of one thread until they are read. One goroutine reads.
type Inbox struct {
	mu       sync.Mutex
	events   []Event
	bytes    int
	overflow bool
	ready    chan struct{}
}

func newInbox() *Inbox { return &Inbox{ready: make(chan struct{}, 1)} }

// Ready receives when there may be events.
func (b *Inbox) Ready() <-chan struct{} { return b.ready }

// Take returns the events that wait, in order, and whether any were lost since
// the reader fell too far behind.
func (b *Inbox) Take() (events []Event, overflow bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	events, b.events, b.bytes = b.events, nil, 0
	return events, b.overflow
}

func (b *Inbox) put(e Event) {
	b.mu.Lock()
	if b.bytes += len(e.Params); b.bytes > maxInbox {
		b.overflow = true
	} else {
		b.events = append(b.events, e)
	}
	b.mu.Unlock()
	select {
	case b.ready <- struct{}{}:
	default:
	}
}
