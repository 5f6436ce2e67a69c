;; A valid component that exports nothing: not a route.
(component)
