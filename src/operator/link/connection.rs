//! One authenticated connection: a request, a response.
