package anthropic

import (
	"net/http"
	"strings"
	"time"
)

// terms are what a request's headers and query say about how to read it and how to
// answer. The zero value is a request of 2023-06-01 without betas.
type terms struct {
	// noSampling says that temperature, top_p and top_k are no parameters any more.
	noSampling bool
	// beta says that the client reads the answers of the beta API, which have a few
	// keys more.
	beta bool
	// interleaved says that the budget of reasoning is that of all calls together,
	// and may be more than max_tokens.
	interleaved bool
	// count says that the prompt is only to be counted.
	count bool
}

// samplingEnds is the version of the API that takes no sampling settings any more.
var samplingEnds = time.Date(2026, 10, 21, 0, 0, 0, 0, time.UTC)

// termsOf reads anthropic-version, anthropic-beta and ?beta=true. A version that is
// missing or no date is as good as the first one, and every beta is taken.
func termsOf(r *http.Request) terms {
	version, err := time.Parse(time.DateOnly, r.Header.Get("Anthropic-Version"))
	betas := strings.Join(r.Header.Values("Anthropic-Beta"), ",")
	return terms{
		noSampling:  err == nil && !version.Before(samplingEnds),
		beta:        betas != "" || r.URL.Query().Get("beta") == "true",
		interleaved: strings.Contains(betas, "interleaved-thinking"),
	}
}
