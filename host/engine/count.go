package engine

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/clinvk/clinvk/host/engine/clip"
	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// TokenCount is how many tokens a turn would send.
type TokenCount struct {
	Input int64
	// Backend that would answer.
	Backend string
	// Estimated says that nobody who knows the model's vocabulary has counted.
	Estimated bool
}

// countTimeout bounds how long a backend may count, the wait for its process
// included: clients ask often and go by what they have, so that a count of our own
// now is better than an exact one later.
const countTimeout = 2 * time.Second

// CountTokens tells how many tokens the turn's system prompt, messages and tools
// would be for the backend that Execute would send it to. The backend counts if it
// can; else, and when it fails, the number is an estimate. No turn is run and no place
// in the queue is taken.
//
// It fails with the *Error with which Execute would refuse the turn, except that a
// prompt may be too long: that is what clients want to find out.
func (e *Engine) CountTokens(ctx context.Context, t *Turn) (TokenCount, error) {
	to, err := e.route(t)
	if err != nil {
		return TokenCount{}, err
	}
	turn := e.prepare(t, to)
	info, _ := e.backends.Info(to.backend)
	if _, err := check(to.backend, turn, info); err != nil && AsError(err).Code != CodeTooLarge {
		return TokenCount{}, err
	}
	if info.Describe.GetCapabilities().GetCountTokens() != nil {
		r, err := e.askCount(ctx, to, turn)
		if err != nil {
			return TokenCount{}, err
		}
		if r != nil {
			return TokenCount{Input: r.GetInputTokens(), Backend: to.backend, Estimated: r.GetEstimated()}, nil
		}
	}
	n, err := estimate(ctx, turn)
	if err != nil {
		return TokenCount{}, AsError(err)
	}
	return TokenCount{Input: n, Backend: to.backend, Estimated: true}, nil
}

// askCount has the backend count. Without an answer and an error it could not.
func (e *Engine) askCount(ctx context.Context, to target, t *Turn) (*backendv1.CountTokensResponse, error) {
	ask, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	r, err := e.count(ask, to, t)
	switch {
	case err == nil && r.GetInputTokens() >= 0:
		return r, nil
	case ctx.Err() != nil:
		return nil, AsError(context.Cause(ctx))
	case status.Code(err) == codes.InvalidArgument:
		return nil, refusedBy(to, CodeInvalidRequest, err)
	case status.Code(err) == codes.NotFound:
		return nil, refusedBy(to, CodeModelNotFound, err)
	}
	e.log.Warn("a backend could not count tokens; they are estimated", "backend", to.backend, "error", err)
	return nil, nil
}

func (e *Engine) count(ctx context.Context, to target, t *Turn) (*backendv1.CountTokensResponse, error) {
	lease, err := e.backends.Acquire(ctx, to.backend)
	if err != nil {
		return nil, err
	}
	defer lease.Release()
	start := startToProto("", to.model, t)
	return lease.Client().CountTokens(ctx, &backendv1.CountTokensRequest{
		Model: start.GetModel(), System: start.GetSystem(), Messages: start.GetMessages(), Tools: start.GetTools(),
	})
}

// refusedBy is the backend's word that the request is wrong.
func refusedBy(to target, code Code, err error) *Error {
	return &Error{Code: code, Message: clip.Text(status.Convert(err).Message()), Origin: OriginBackend, Backend: to.backend, Err: err}
}
