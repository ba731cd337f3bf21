package engine

import "fmt"

// Gather runs an execution to its end and shows each event to each, which may be nil.
// text is the answer's, as far as it came; completed is nil when there is an err. The
// execution stays open.
func Gather(x *Execution, each func(Event)) (text string, completed *Completed, err *Error) {
	parts, completed, err := gather(x, each)
	return (&Answer{Parts: parts}).Text(), completed, err
}

// Collect runs an execution to its end. The error is an *Error; one is that the
// answer is larger than 4 MiB.
func Collect(x *Execution) (*Answer, error) {
	var notices []string
	parts, completed, err := gather(x, func(ev Event) {
		if n, ok := ev.(*Notice); ok && len(notices) < maxNotices {
			notices = append(notices, n.Message)
		}
	})
	if err != nil {
		return nil, err
	}
	return &Answer{Parts: parts, Notices: notices, Completed: *completed}, nil
}

func gather(x *Execution, each func(Event)) ([]Part, *Completed, *Error) {
	var b AnswerBuilder
	for {
		ev, err := x.Next()
		if err != nil {
			return b.Parts(), nil, AsError(err)
		}
		fits := b.Add(ev)
		if each != nil {
			each(ev)
		}
		if !fits {
			return nil, nil, tooLarge(x.Backend)
		}
		if c, ok := ev.(*Completed); ok {
			return b.Parts(), c, nil
		}
	}
}

func tooLarge(backend string) *Error {
	return &Error{
		Code: CodeCLIFailure, Backend: backend,
		Message: fmt.Sprintf("the answer of backend %s is larger than %d MiB; ask for it as a stream", backend, maxAnswer>>20),
	}
}
