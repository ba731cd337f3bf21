package anthropic

import (
	"net/http"

	"github.com/julienschmidt/httprouter"

	"github.com/clinvk/clinvk/host/httpapi"
	"github.com/clinvk/clinvk/host/httpapi/wire"
)

// countTokens answers POST /v1/messages/count_tokens. What it is told about how to
// answer has no effect.
func (d *Dialect) countTokens(w http.ResponseWriter, r *http.Request, _ httprouter.Params) error {
	t := termsOf(r)
	t.count = true
	q, err := d.decode(r, t)
	if err != nil {
		return err
	}
	n, err := d.config.Engine.CountTokens(r.Context(), &q.turn)
	if err != nil {
		return err
	}
	httpapi.BeginCount(w, r, n, q.words(nil))
	wire.Write(w, http.StatusOK, encodeCount(n.Input, t.beta))
	return nil
}

func encodeCount(n int64, beta bool) []byte {
	b := wire.AppendInt(nil, `{"input_tokens":`, n)
	if beta {
		b = append(b, `,"context_management":null`...)
	}
	return append(b, '}')
}
