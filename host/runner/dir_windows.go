package runner

// checkPrivate leaves it to the profile's access list.
func checkPrivate(string) error { return nil }
