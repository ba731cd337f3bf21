package session

import (
	"slices"

	"github.com/clinvk/clinvk/host/engine"
	"github.com/clinvk/clinvk/host/store"
)

// How many tags and members of metadata a session may have.
const (
	MaxTags     = 32
	MaxMetadata = 16
)

// checkLabels refuses a turn that would give its session too many. Those that it has
// may stay, however many there are.
func checkLabels(s *store.Session, keep *engine.Keep) error {
	tags := slices.Concat(s.Tags, keep.Tags)
	slices.Sort(tags)
	if n := len(slices.Compact(tags)); n > MaxTags && n > len(s.Tags) {
		return invalid("tags", "session %s would have %d tags; it may have %d. PATCH /api/v1/sessions/%s takes some away", s.ID, n, MaxTags, s.ID)
	}
	if n := len(merged(s.Metadata, keep.Metadata)); n > MaxMetadata && n > len(s.Metadata) {
		return invalid("metadata", "session %s would have %d members of metadata; it may have %d. PATCH /api/v1/sessions/%s takes some away", s.ID, n, MaxMetadata, s.ID)
	}
	return nil
}
