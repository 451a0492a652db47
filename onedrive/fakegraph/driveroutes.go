package fakegraph

import "net/http"

// driveRoutes are Graph's drive calls, the secret addresses that they give out, and the pages.
func (s *Server) driveRoutes(mux *http.ServeMux) {
	mux.HandleFunc("/v1.0/", s.serveGraph)
	mux.HandleFunc("POST /v1.0/$batch", s.batch)
	mux.HandleFunc("GET /monitor/{token}", s.monitor)
	mux.HandleFunc("GET /_api/v2.1/drive/operations/{token}", s.monitor)
	mux.HandleFunc("GET /_api/v2.1/drives/{drive}/items/{item}", s.finished)
	mux.HandleFunc("/personal/{cid}/_api/v2.0/drive/items/{id}/uploadSession", s.serveUpload)
	mux.HandleFunc("GET /download/{key}", s.download)
	mux.HandleFunc("GET /thumbnail/{key}", s.thumbnail)
	mux.HandleFunc("GET /drive", s.serveDrivePage)
	mux.HandleFunc("GET /control", s.serveControl)
	mux.HandleFunc("POST /control", s.setControl)
	mux.HandleFunc("GET /drive.css", s.pageFile)
	mux.HandleFunc("GET /samples/{name}", s.sample)
}
