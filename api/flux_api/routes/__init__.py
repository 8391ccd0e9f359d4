"""The routes, one file per noun of the API. They translate; deciding is done in the domain and the door."""
