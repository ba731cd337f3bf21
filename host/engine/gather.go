package engine

import "fmt"

// Gather runs an execution to its end and shows each event to each, which may be nil.
// text is the answer's, as far as it came; completed is nil when there is an err. The
// execution stays open.
func Gather(x *Execution, each func(Event)) (text string, completed *Completed, err *Error) {
	var b answerBuilder
	for {
		ev, failure := x.Next()
		if failure != nil {
			return (&Answer{Parts: b.parts()}).Text(), nil, AsError(failure)
		}
		fits := b.add(ev)
		if each != nil {
			each(ev)
		}
		if c, ok := ev.(*Completed); ok {
			return (&Answer{Parts: b.parts()}).Text(), c, nil
		}
		if !fits {
			return "", nil, tooLarge(x.Backend)
		}
	}
}

func tooLarge(backend string) *Error {
	return &Error{
		Code: CodeCLIFailure, Backend: backend,
		Message: fmt.Sprintf("the answer of backend %s is larger than %d MiB; ask for it as a stream", backend, maxAnswer>>20),
	}
}
