// Command shop is the web service of the tests' project: orders are rows in PostgreSQL, visits a counter in Redis.
package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"

	_ "github.com/lib/pq"
	"github.com/redis/go-redis/v9"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "check" {
		check()
	}
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

// check is the health check: the program is all that the image needs.
func check() {
	resp, err := http.Get("http://127.0.0.1:8080/ready")
	if err != nil || resp.StatusCode != http.StatusOK {
		os.Exit(1)
	}
	os.Exit(0)
}

type shop struct {
	orders *sql.DB
	visits *redis.Client
}

func run() error {
	password, err := os.ReadFile("/run/secrets/password")
	if err != nil {
		return err
	}
	db, err := sql.Open("postgres", fmt.Sprintf("postgres://shop:%s@db/shop?sslmode=disable", strings.TrimSpace(string(password))))
	if err != nil {
		return err
	}
	s := &shop{db, redis.NewClient(&redis.Options{Addr: "cache:6379"})}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := db.PingContext(ctx); err != nil { // the start is gated on health: there is no second try
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /", s.page)
	mux.HandleFunc("POST /orders/{item}", s.order)
	server := &http.Server{Addr: ":8080", Handler: mux}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	log.Print("ready")
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	log.Print("bye")
	return nil
}

// page shows the host's name, the built version, the text of static/motd, and what both stores say.
func (s *shop) page(w http.ResponseWriter, r *http.Request) {
	log.Print("GET ", r.URL.Path)
	visits, err := s.visits.Incr(r.Context(), "visits").Result()
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	var orders int
	var last sql.NullString
	if err := s.orders.QueryRowContext(r.Context(), "SELECT count(*), max(item) FROM orders").Scan(&orders, &last); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	host, _ := os.Hostname()
	fmt.Fprintf(w, "host=%s version=%s motd=%s visits=%d orders=%d last=%s\n", host, read("/srv/version"), read("/srv/static/motd"), visits, orders, last.String)
}

func (s *shop) order(w http.ResponseWriter, r *http.Request) {
	if _, err := s.orders.ExecContext(r.Context(), "INSERT INTO orders (item) VALUES ($1)", r.PathValue("item")); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
}

func read(file string) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(data))
}
