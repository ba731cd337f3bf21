package cut

import "strings"

// Stop looks for the first of some texts. The zero value looks for none.
type Stop struct {
	stops []string
	first [256]bool // bytes that a stop sequence begins with
	held  string    // the least that may begin one
}

// NewStop looks for sequences; empty ones are left out.
func NewStop(sequences []string) *Stop {
	s := &Stop{}
	for _, q := range sequences {
		if q != "" {
			s.stops = append(s.stops, q)
			s.first[q[0]] = true
		}
	}
	return s
}

// Add takes the next text in. The first release bytes of what was added and not yet
// released are no part of a stop sequence. With match not empty the answer ends after
// them. Of several matches that which begins first counts, then the shortest.
func (s *Stop) Add(text string) (release int, match string) {
	s.held += text
	return s.scan(false)
}

// End is Add at the end of the text: nothing is held back.
func (s *Stop) End() (release int, match string) { return s.scan(true) }

func (s *Stop) scan(last bool) (release int, match string) {
	for at := range len(s.held) {
		if !s.first[s.held[at]] {
			continue
		}
		rest, begins := s.held[at:], false
		for _, q := range s.stops {
			switch {
			case strings.HasPrefix(rest, q):
				if match == "" || len(q) < len(match) {
					match = q
				}
			case strings.HasPrefix(q, rest):
				begins = true
			}
		}
		if match != "" {
			s.held = ""
			return at, match
		}
		if begins && !last {
			s.held = rest
			return at, ""
		}
	}
	release, s.held = len(s.held), ""
	return release, ""
}
