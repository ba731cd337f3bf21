package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/clinvk/clinvk/host/apikeys"
	"github.com/clinvk/clinvk/host/config"
)

// keyring decides which API keys a server takes. load is called once at the start and
// then with each reload, one call at a time.
type keyring struct {
	address string // that the server listens on
	noAuth  bool
	streams streams

	asked bool
	made  []apikeys.Key // because the server can be reached and had none
}

// load reads the keys that the settings name. A server that others can reach and that
// has none makes one, at its start only: a reload that takes the last key away is
// refused, because nobody would see a new one.
func (k *keyring) load(ctx context.Context, c *config.Config) ([]apikeys.Key, error) {
	first := !k.asked
	k.asked = true
	sources := keySources(c)
	switch {
	case sources.Any():
		return sources.Load(ctx)
	case loopback(k.address):
		return nil, nil
	case k.noAuth:
		if first {
			_, err := fmt.Fprintf(k.streams.err, "warning: anybody who reaches %s can run agents as you (--no-auth)\n", k.address)
			return nil, err
		}
		return nil, nil
	case !first && k.made == nil:
		return nil, errors.New("there are no API keys any more, and others can reach the server; restart it to have one made")
	case !first:
		return k.made, nil
	}
	key := "clinvk-" + rand.Text()
	k.made = apikeys.Plain(key)
	_, err := fmt.Fprintf(k.streams.err, "%s can be reached by others, so clients need this API key: %s\n(set CLINVK_API_KEYS to choose your own)\n", k.address, key)
	return k.made, err
}

// keySources are the places of keys that the settings name.
func keySources(c *config.Config) apikeys.Sources {
	return apikeys.Sources{Keys: c.APIKeys, File: c.Server.APIKeysFile, GopassPath: c.Server.APIKeysGopassPath}
}
