package auth

// For the tests of package auth_test, which sign in at the stand-in Microsoft.
var (
	StartNATS   = startNATS
	TestKeyring = testKeyring
)
