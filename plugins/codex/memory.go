package main

import (
	"context"
	"time"
)

const (
	// memoryEvery is how many turns pass between two looks at the memory.
	memoryEvery = 64
	// maxMemory of an app-server, in bytes: it has 85 MB at rest and about 1 MB
	// for each thread, so this is growth that does not come from use.
	maxMemory = 768 << 20
)

// checkMemory looks now and then whether an app-server has grown, and replaces it
// after its turns are done.
func (b *backend) checkMemory(k *keeper, i *instance) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.all[i]; !ok || k.closed || i.turns < memoryEvery {
		return
	}
	i.turns = 0
	i.refs++
	k.wg.Go(func() {
		defer k.put(i)
		if size := resident(k.ctx, i); size > b.maxMemory {
			b.log.Info("codex app-server has grown, it is replaced", "resident", size)
			k.retire(i)
			if k.eager {
				k.prepare()
			}
		}
	})
}

// resident is the memory of an app-server in bytes; 0 when it does not say: one
// that answers nothing fails its turns by itself.
func resident(ctx context.Context, i *instance) int64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var d struct {
		Process struct {
			Resident int64 `json:"residentMemoryBytes"`
		} `json:"process"`
	}
	if err := i.client.Call(ctx, "server/diagnostics", object{}, &d); err != nil {
		return 0
	}
	return d.Process.Resident
}
