package fakegraph

import "strings"

// graphResource is the app id of Microsoft Graph.
const graphResource = "00000003-0000-0000-c000-000000000000"

// bareScope is a scope without the address of its resource.
func bareScope(scope string) string {
	if i := strings.LastIndexByte(scope, '/'); i >= 0 {
		return scope[i+1:]
	}
	return scope
}
