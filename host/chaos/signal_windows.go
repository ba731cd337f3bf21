package chaos

import "os"

var stopSignal os.Signal
