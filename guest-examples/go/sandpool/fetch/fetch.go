// Package fetch sends requests to web servers, which the route must grant: `grants: {http: ["api.example.com"]}`.
//
//	response, err := fetch.Request{Method: "POST", URL: "https://api.example.com/orders", Body: []byte("…")}.Send()
//
// A redirect is a response like any other. A component that sends nothing imports no wasi:http.
package fetch

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"wit_component/sandpool"
	"wit_component/wasi_http_outgoing_handler"
	"wit_component/wasi_http_types"
	"wit_component/wasi_io_streams"

	"go.bytecodealliance.org/pkg/wit/runtime"
	wit "go.bytecodealliance.org/pkg/wit/types"
)

const (
	// Limit is the most bytes of a response's body, unless the request says otherwise.
	Limit = 1 << 20
	// Bytes of one read, and of one write.
	read  = 64 << 10
	write = 4096
)

// Request is what to ask. Without a method it is GET, with a nil body it has none, and a limit of 0 is Limit.
type Request struct {
	Method, URL string
	Headers     [][2]string
	Body        []byte
	Limit       int
}

// Response is what the server said. Names of header fields are in lower case.
type Response struct {
	URL     string
	Status  int
	Headers [][2]string
	Body    []byte
}

// Error says why there is no response. Reason is a name of wasi:http's error-code, such as HTTP-request-denied;
// header-refused; or body-not-UTF-8.
type Error struct{ URL, Reason string }

func (e *Error) Error() string { return "the request failed: " + e.Reason }

// Unwrap makes it a failure with what programs need to know of it.
func (e *Error) Unwrap() error {
	return &sandpool.Failure{Message: e.Error(), Detail: map[string]string{"url": e.URL, "reason": e.Reason}}
}

// Get asks for what is at a URL.
func Get(url string) (*Response, error) { return Request{URL: url}.Send() }

// Text is the body, if it is one.
func (r *Response) Text() (string, error) {
	if !utf8.Valid(r.Body) {
		return "", &Error{r.URL, "body-not-UTF-8"}
	}
	return string(r.Body), nil
}

// A reason why there is no response, by the name that the client sees.
type refused string

func (r refused) Error() string { return string(r) }

// Send sends it, and waits for the whole response. The error is an *Error.
func (r Request) Send() (*Response, error) {
	// What the host answers is pinned in memory; by then all of it has become strings and slices.
	defer runtime.Unpin()
	response, err := r.exchange()
	if err != nil {
		return nil, &Error{r.URL, err.Error()}
	}
	return response, nil
}

func (r Request) exchange() (*Response, error) {
	answer, err := r.ask()
	if err != nil {
		return nil, err
	}
	defer answer.Drop()
	response := &Response{URL: r.URL, Status: int(answer.Status())}
	fields := answer.Headers()
	defer fields.Drop()
	for _, entry := range fields.Entries() {
		response.Headers = append(response.Headers, [2]string{entry.F0, strings.ToValidUTF8(string(entry.F1), "\uFFFD")})
	}
	limit := r.Limit
	if limit == 0 {
		limit = Limit
	}
	response.Body, err = content(answer, limit)
	return response, err
}

// The head of the response.
func (r Request) ask() (*wasi_http_types.IncomingResponse, error) {
	fields := wasi_http_types.MakeFields()
	headers := r.Headers
	if r.Body != nil {
		headers = append(headers[:len(headers):len(headers)], [2]string{"content-length", strconv.Itoa(len(r.Body))})
	}
	for _, header := range headers {
		if fields.Append(header[0], []byte(header[1])).IsErr() {
			fields.Drop()
			return nil, refused("header-refused")
		}
	}
	request := wasi_http_types.MakeOutgoingRequest(fields)
	if err := r.describe(request); err != nil {
		request.Drop()
		return nil, err
	}
	var body *wasi_http_types.OutgoingBody
	if r.Body != nil {
		body = request.Body().Ok()
	}
	asked := wasi_http_outgoing_handler.Handle(request, wit.None[*wasi_http_types.RequestOptions]())
	if asked.IsErr() {
		if body != nil {
			body.Drop()
		}
		return nil, named(asked.Err())
	}
	future := asked.Ok()
	defer future.Drop()
	// The host takes the body while it sends; a request that is not sent takes none.
	if body != nil {
		send(body, r.Body)
	}
	return wait(future)
}

func (r Request) describe(request *wasi_http_types.OutgoingRequest) error {
	if request.SetMethod(method(r.Method)).IsErr() {
		return refused("HTTP-request-method-invalid")
	}
	scheme := wasi_http_types.MakeSchemeHttps()
	rest, found := strings.CutPrefix(r.URL, "https://")
	if !found {
		scheme = wasi_http_types.MakeSchemeHttp()
		rest, found = strings.CutPrefix(r.URL, "http://")
	}
	rest, _, _ = strings.Cut(rest, "#")
	authority, path := rest, ""
	if slash := strings.IndexAny(rest, "/?"); slash >= 0 {
		authority, path = rest[:slash], rest[slash:]
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	if !found || request.SetScheme(wit.Some(scheme)).IsErr() || request.SetAuthority(wit.Some(authority)).IsErr() ||
		request.SetPathWithQuery(wit.Some(path)).IsErr() {
		return refused("HTTP-request-URI-invalid")
	}
	return nil
}

func method(name string) wasi_http_types.Method {
	switch name {
	case "", "GET":
		return wasi_http_types.MakeMethodGet()
	case "HEAD":
		return wasi_http_types.MakeMethodHead()
	case "POST":
		return wasi_http_types.MakeMethodPost()
	case "PUT":
		return wasi_http_types.MakeMethodPut()
	case "DELETE":
		return wasi_http_types.MakeMethodDelete()
	case "CONNECT":
		return wasi_http_types.MakeMethodConnect()
	case "OPTIONS":
		return wasi_http_types.MakeMethodOptions()
	case "TRACE":
		return wasi_http_types.MakeMethodTrace()
	case "PATCH":
		return wasi_http_types.MakeMethodPatch()
	}
	return wasi_http_types.MakeMethodOther(name)
}

// When the server does not want the body, the response says why.
func send(body *wasi_http_types.OutgoingBody, content []byte) {
	opened := body.Write()
	if opened.IsErr() {
		body.Drop()
		return
	}
	stream := opened.Ok()
	for len(content) > 0 {
		part := content[:min(write, len(content))]
		if stream.BlockingWriteAndFlush(part).IsErr() {
			stream.Drop()
			body.Drop()
			return
		}
		content = content[len(part):]
	}
	stream.Drop()
	wasi_http_types.OutgoingBodyFinish(body, wit.None[*wasi_http_types.Fields]())
}

func wait(future *wasi_http_types.FutureIncomingResponse) (*wasi_http_types.IncomingResponse, error) {
	for {
		answer := future.Get()
		if answer.IsSome() {
			if answer.Some().IsErr() {
				return nil, refused("internal-error")
			}
			if answer.Some().Ok().IsErr() {
				return nil, named(answer.Some().Ok().Err())
			}
			return answer.Some().Ok().Ok(), nil
		}
		ready := future.Subscribe()
		ready.Block()
		ready.Drop()
	}
}

func content(response *wasi_http_types.IncomingResponse, limit int) ([]byte, error) {
	body := response.Consume().Ok()
	defer body.Drop()
	stream := body.Stream().Ok()
	defer stream.Drop()
	var content []byte
	for len(content) <= limit {
		part := stream.BlockingRead(read)
		if part.IsErr() {
			failed := part.Err()
			if failed.Tag() == wasi_io_streams.StreamErrorClosed {
				return content, nil
			}
			why := failed.LastOperationFailed()
			defer why.Drop()
			if code := wasi_http_types.HttpErrorCode(why); code.IsSome() {
				return nil, named(code.Some())
			}
			return nil, refused("internal-error")
		}
		content = append(content, part.Ok()...)
		runtime.Unpin()
	}
	return nil, refused("HTTP-response-body-size")
}

func named(code wasi_http_types.ErrorCode) error { return refused(names[code.Tag()]) }

// The names that the WIT has for its errors, by their tags.
var names = [...]string{
	"DNS-timeout", "DNS-error", "destination-not-found", "destination-unavailable", "destination-IP-prohibited",
	"destination-IP-unroutable", "connection-refused", "connection-terminated", "connection-timeout",
	"connection-read-timeout", "connection-write-timeout", "connection-limit-reached", "TLS-protocol-error",
	"TLS-certificate-error", "TLS-alert-received", "HTTP-request-denied", "HTTP-request-length-required",
	"HTTP-request-body-size", "HTTP-request-method-invalid", "HTTP-request-URI-invalid", "HTTP-request-URI-too-long",
	"HTTP-request-header-section-size", "HTTP-request-header-size", "HTTP-request-trailer-section-size",
	"HTTP-request-trailer-size", "HTTP-response-incomplete", "HTTP-response-header-section-size",
	"HTTP-response-header-size", "HTTP-response-body-size", "HTTP-response-trailer-section-size",
	"HTTP-response-trailer-size", "HTTP-response-transfer-coding", "HTTP-response-content-coding",
	"HTTP-response-timeout", "HTTP-upgrade-failed", "HTTP-protocol-error", "loop-detected", "configuration-error",
	"internal-error",
}
