package runner

import "os"

// pipes are the three standard streams, as files: with anything else os/exec
// would copy, and wait for whoever inherited the other end. The write end of
// stdin is the guard: it is closed when the host dies, however it dies.
type pipes struct{ inR, inW, outR, outW, errR, errW *os.File }

func newPipes() (*pipes, error) {
	p := &pipes{}
	for _, end := range []struct{ r, w **os.File }{{&p.inR, &p.inW}, {&p.outR, &p.outW}, {&p.errR, &p.errW}} {
		r, w, err := os.Pipe()
		if err != nil {
			p.close()
			return nil, err
		}
		*end.r, *end.w = r, w
	}
	return p, nil
}

func (p *pipes) closeChildEnds() { closeAll(p.inR, p.outW, p.errW) }

// close closes all ends; it may be called more than once and concurrently.
func (p *pipes) close() { closeAll(p.inR, p.inW, p.outR, p.outW, p.errR, p.errW) }

func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close() // nothing was written that could be lost
		}
	}
}
