package host

import "golang.org/x/sys/windows"

// errRefused is that nobody listens on a socket that is there.
const errRefused = windows.WSAECONNREFUSED
