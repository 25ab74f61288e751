package stack

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Request is one HTTP request that a server behind Envoy received.
type Request struct {
	Method string
	Path   string // the request target as it came, query included
	Host   string
	Header http.Header
	Body   []byte
}

// A requestLog records requests and hands them on.
type requestLog struct {
	mu       sync.Mutex
	requests []Request
}

func (l *requestLog) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "reading body: "+err.Error(), http.StatusBadRequest)
			return
		}
		l.mu.Lock()
		l.requests = append(l.requests, Request{r.Method, r.RequestURI, r.Host, r.Header.Clone(), body})
		l.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

func (l *requestLog) all() []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.requests)
}

func (l *requestLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = nil
}

// A Recorder is a server that believes everything: it answers each request
// with 200 and an empty JSON-RPC result, and keeps it. What an attack brings
// past Envoy, it shows.
type Recorder struct {
	log    requestLog
	server *httpServer
}

// StartRecorder starts one on loopback.
func StartRecorder() (*Recorder, error) {
	r := &Recorder{}
	server, err := serveHTTP(r.log.wrap(http.HandlerFunc(agree)))
	if err != nil {
		return nil, fmt.Errorf("starting recorder: %w", err)
	}
	r.server = server
	return r, nil
}

// Addr is where it listens, host:port.
func (r *Recorder) Addr() string { return r.server.addr() }

// Requests returns what it has received since the last Reset.
func (r *Recorder) Requests() []Request { return r.log.all() }

// Reset forgets all requests.
func (r *Recorder) Reset() { r.log.reset() }

// Close stops it.
func (r *Recorder) Close() error { return r.server.close() }

func agree(w http.ResponseWriter, r *http.Request) {
	var message struct {
		ID json.RawMessage `json:"id"`
	}
	// A body that cannot be read is what this server is for.
	_ = json.NewDecoder(r.Body).Decode(&message)
	if message.ID == nil {
		message.ID = json.RawMessage("null")
	}
	w.Header().Set("content-type", "application/json")
	fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":{}}`, message.ID)
}

// An httpServer is a server on loopback.
type httpServer struct {
	server   *http.Server
	listener net.Listener
	served   chan struct{} // closed when Serve has returned err
	err      error
}

func serveHTTP(h http.Handler) (*httpServer, error) {
	l, err := net.Listen("tcp", loopback)
	if err != nil {
		return nil, err
	}
	s := &httpServer{
		server:   &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second},
		listener: l,
		served:   make(chan struct{}),
	}
	go func() {
		defer close(s.served)
		s.err = s.server.Serve(l)
	}()
	return s, nil
}

func (s *httpServer) addr() string { return s.listener.Addr().String() }

// close cuts requests that are under way, such as streams.
func (s *httpServer) close() error {
	err := s.server.Close()
	<-s.served
	if errors.Is(s.err, http.ErrServerClosed) {
		return err
	}
	return errors.Join(err, s.err)
}
