package responses

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/clinvk/clinvk/host/httpapi/dialecttest"
)

// TestTooSlow: a stream whose next events are not kept any more says that it is not
// whole.
func TestTooSlow(t *testing.T) {
	events := dialecttest.ReadSSE(t, tooSlow(7))
	if len(events) != 1 || events[0].Name != "error" || !strings.Contains(events[0].Data, `"sequence_number":8`) {
		t.Fatalf("%+v", events)
	}
	dialecttest.Valid(t, "ResponseEvent", []byte(events[0].Data))
}

// TestFollowWhatIsGone is refused before the stream begins.
func TestFollowWhatIsGone(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
	if err := follow(w, r, &run{first: 9}, 0); err == nil || w.Body.Len() > 0 {
		t.Errorf("%v, %s", err, w.Body)
	}
}
