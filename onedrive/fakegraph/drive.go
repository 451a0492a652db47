package fakegraph

import "net/http"

func (s *Server) driveRoutes(mux *http.ServeMux) {}

// resetDrives forgets every drive.
func (s *Server) resetDrives() {}
