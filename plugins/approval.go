package plugins

import (
	"context"
	"errors"
	"sync"

	backendv1 "github.com/clinvk/clinvk/proto/clinvk/backend/v1"
)

// Approval asks the client to decide about a call of the backend's own tools.
type Approval struct {
	// ID must be unique in the turn.
	ID   string
	Call ToolCall
	// Reason says why it is asked.
	Reason string
}

// Decision answers an Approval.
type Decision struct {
	Allow bool
	// Remember it for the session.
	Remember bool
	// Reason is told to the model when denied.
	Reason string
}

// ErrNobodyToAsk is returned by Stream.Approve when the host will not answer:
// the client side of the turn is closed.
var ErrNobodyToAsk = errors.New("nobody to ask for approval")

// approvals matches decisions with the calls that wait for them.
type approvals struct {
	mu      sync.Mutex
	waiting map[string]chan Decision
	closed  chan struct{}
	once    sync.Once
}

func newApprovals() *approvals {
	return &approvals{waiting: map[string]chan Decision{}, closed: make(chan struct{})}
}

func (a *approvals) close() { a.once.Do(func() { close(a.closed) }) }

func (a *approvals) decide(d *backendv1.ApprovalDecision) {
	a.mu.Lock()
	ch := a.waiting[d.GetId()]
	delete(a.waiting, d.GetId())
	a.mu.Unlock()
	if ch != nil {
		ch <- Decision{Allow: d.GetAllow(), Remember: d.GetRemember(), Reason: d.GetReason()}
	}
}

// Approve asks the client and waits for the decision. It returns ErrNobodyToAsk
// when no decision can come.
func (s *Stream) Approve(ctx context.Context, a Approval) (Decision, error) {
	select {
	case <-s.approvals.closed:
		return Decision{}, ErrNobodyToAsk
	default:
	}
	ch := make(chan Decision, 1)
	s.approvals.mu.Lock()
	s.approvals.waiting[a.ID] = ch
	s.approvals.mu.Unlock()
	defer func() {
		s.approvals.mu.Lock()
		delete(s.approvals.waiting, a.ID)
		s.approvals.mu.Unlock()
	}()
	err := s.simple(&backendv1.ExecuteResponse{Event: &backendv1.ExecuteResponse_ApprovalRequested{
		ApprovalRequested: &backendv1.ApprovalRequested{Id: valid(a.ID), Call: toolCallToProto(a.Call), Reason: valid(a.Reason)},
	}})
	if err != nil {
		return Decision{}, err
	}
	select {
	case d := <-ch:
		return d, nil
	case <-s.approvals.closed:
		return Decision{}, ErrNobodyToAsk
	case <-ctx.Done():
		return Decision{}, context.Cause(ctx)
	}
}
