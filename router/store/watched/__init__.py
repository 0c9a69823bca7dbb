"""What is watched: what comes to the ingresses, and the incidents that last."""
